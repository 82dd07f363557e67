"""A caller's own request, with the beginning of the answer put behind its messages."""

from typing import Any, Final

import msgspec

from undercroft.llm.types import Dialect, Source

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_messages = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode

_WITH_MESSAGES: Final[tuple[Dialect, ...]] = ("openai.chat", "anthropic.messages")
_LIMITS: Final = ("max_tokens", "max_completion_tokens")


def continued(source: Source, *, text: str, spent_tokens: int) -> Source | None:
    """Everything the caller wrote, with `text` as the last message; None in a dialect that has no such thing.

    A limit on the answer's tokens is lowered by those that are spent.
    """
    if source.dialect not in _WITH_MESSAGES:
        return None
    fields: dict[str, Any] = dict(_fields.decode(source.body))
    fields["messages"] = [*_messages.decode(fields["messages"]), {"role": "assistant", "content": text}]
    for name in _LIMITS:
        limit = msgspec.json.decode(fields[name]) if name in fields else None
        if isinstance(limit, int):
            fields[name] = max(limit - spent_tokens, 1)
    return Source(source.dialect, _encode(fields))
