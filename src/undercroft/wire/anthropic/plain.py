"""The requests that most callers send: turns of nothing but text. They are written for OpenAI's format directly."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from undercroft.errors import InvalidRequest
from undercroft.wire.duplicates import demand_unambiguous
from undercroft.wire.openai.sampling import Positive

_Share = Annotated[float, Meta(ge=0, le=1)]


class PlainText(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="text", gc=False):
    """A block of text."""

    text: str


_Texts = Annotated[list[PlainText], Meta(min_length=1)]


class PlainTurn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What somebody says."""

    role: Literal["user", "assistant"]
    content: str | _Texts


class PlainBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A request for a whole answer. What is a request here is one for `request.decode` too, with the same meaning."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[PlainTurn], Meta(min_length=1)]
    max_tokens: Positive
    system: str | _Texts | UnsetType = UNSET
    stream: Literal[False] | UnsetType = UNSET
    temperature: _Share | UnsetType = UNSET
    top_p: _Share | UnsetType = UNSET

    @property
    def options(self) -> int:
        """Fields that are there besides those that have to be."""
        named = (self.system, self.stream, self.temperature, self.top_p)
        return len(named) - named.count(UNSET)

    @property
    def longest(self) -> int:
        """Tokens that the answer may have."""
        return self.max_tokens

    def size(self) -> tuple[int, int]:
        """Its messages in OpenAI's format, and the characters of their texts."""
        messages, characters = len(self.messages), 0
        if self.system:
            messages += 1
            characters = _characters(self.system)
        for turn in self.messages:
            characters += _characters(turn.content)
        return messages, characters


class SystemTurn(msgspec.Struct, gc=False):
    """What the model is told before the conversation."""

    role: Literal["system"]
    content: str | list[PlainText]


class WrittenBody(msgspec.Struct, gc=False):
    """A plain request in OpenAI's format, its fields in the order of `chat.encode_request`."""

    model: str
    messages: list[PlainTurn] | list[SystemTurn | PlainTurn]
    temperature: float | UnsetType
    top_p: float | UnsetType
    max_completion_tokens: int


_decoder = msgspec.json.Decoder(PlainBody)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> PlainBody | None:
    """None for everything else: other fields, other kinds of content, what is wrong or ambiguous."""
    try:
        asked = _decoder.decode(body)
        if body.count(b":") != 3 + asked.options + _names(asked):  # else no name can stand there twice
            demand_unambiguous(body)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidRequest):
        return None
    return asked


def for_openai(asked: PlainBody, *, model: str) -> bytes:
    """The same request in OpenAI's format, under another name of its model."""
    messages: list[PlainTurn] | list[SystemTurn | PlainTurn] = asked.messages
    if asked.system:
        messages = [SystemTurn("system", asked.system), *messages]
    return _encode(WrittenBody(model, messages, asked.temperature, asked.top_p, asked.max_tokens))


def _names(asked: PlainBody) -> int:
    """How many names of fields there are in its messages."""
    names = 2 * len(asked.messages)
    if isinstance(asked.system, list):
        names += 2 * len(asked.system)
    for turn in asked.messages:
        if isinstance(turn.content, list):
            names += 2 * len(turn.content)
    return names


def _characters(content: str | list[PlainText]) -> int:
    return len(content) if isinstance(content, str) else sum([len(each.text) for each in content])
