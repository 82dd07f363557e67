"""The requests that most callers send: messages of nothing but text, and how long and how freely to answer."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from undercroft.errors import InvalidRequest
from undercroft.wire.duplicates import demand_unambiguous
from undercroft.wire.openai.sampling import Positive


class PlainMessage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A text that somebody says."""

    role: Literal["system", "user", "developer", "assistant"]
    content: str


class PlainBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A request for a whole answer. What is a request here is one for `request.decode` too, with the same meaning."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[PlainMessage], Meta(min_length=1)]
    stream: Literal[False] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    max_tokens: Positive | UnsetType = UNSET
    max_completion_tokens: Positive | UnsetType = UNSET

    @property
    def longest(self) -> int | None:
        """Tokens that the answer may have; None where the caller does not say."""
        told = self.max_completion_tokens
        if told is UNSET:
            told = self.max_tokens
        return None if told is UNSET else told

    def size(self) -> tuple[int, int]:
        """Its messages, and the characters of their texts."""
        characters = 0
        for message in self.messages:
            characters += len(message.content)
        return len(self.messages), characters


_decoder = msgspec.json.Decoder(PlainBody)


def decode(body: bytes) -> PlainBody | None:
    """None for everything else: other fields, other kinds of content, what is wrong or ambiguous."""
    try:
        asked = _decoder.decode(body)
        options = (asked.stream, asked.temperature, asked.top_p, asked.max_tokens, asked.max_completion_tokens)
        names = 2 + 2 * len(asked.messages) + len(options) - options.count(UNSET)
        if body.count(b":") != names:  # else none of them can stand there twice
            demand_unambiguous(body)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidRequest):
        return None
    if asked.max_tokens is not UNSET and asked.max_completion_tokens is not UNSET:
        return None
    return asked
