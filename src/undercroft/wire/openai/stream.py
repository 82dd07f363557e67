"""Passes on the events of a provider that speaks the caller's own format, and ends the stream as the caller asked."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from undercroft.llm.types import Chunk, Usage
from undercroft.wire import sse
from undercroft.wire.openai.answers import completion_usage

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_choices = msgspec.json.Decoder(list[dict[str, Any]] | None)

_NULL: Final = msgspec.Raw(b"null")
_NO_CHOICES: Final = msgspec.Raw(b"[]")


class SourceStream:
    """Keeps usage out of the events it passes on, untouched otherwise, and tells it once at the end if asked to."""

    __slots__ = ("_include_usage", "_last", "_shared", "_told", "_usage")

    def __init__(self, shared: Mapping[str, object], *, include_usage: bool) -> None:
        self._shared = shared
        """What every event carries when we write it: id, object, created, model."""
        self._include_usage = include_usage
        self._last: bytes | None = None
        self._told: msgspec.Raw | None = None
        """Usage as the provider wrote it."""
        self._usage: Usage | None = None

    @property
    def last(self) -> bytes | None:
        """The last event that was passed on."""
        return self._last

    def note(self, chunk: Chunk) -> None:
        """Remembers the usage of a chunk that is written anew."""
        if chunk.usage is not None:
            self._usage = chunk.usage

    def frame(self, chunk: Chunk) -> bytes:
        """The event of a chunk that has its source."""
        source = chunk.source
        assert source is not None, "asked for chunks with a source only"
        self._last = source
        if chunk.usage is None:
            return sse.frame(source)
        fields = _fields.decode(source)
        self._told = msgspec.Raw(bytes(fields["usage"])) if "usage" in fields else None
        self._usage = chunk.usage
        if not chunk.choices or not _says_something(fields.get("choices", _NO_CHOICES)):
            return b""
        if self._include_usage:
            fields["usage"] = _NULL
        else:
            fields.pop("usage", None)
        return sse.frame(_encode(fields))

    def end(self, usage: Usage | None) -> bytes:
        """The usage event, if it was asked for and is known, and `[DONE]`."""
        known = self._usage or usage
        if not self._include_usage or known is None:
            return sse.DONE_FRAME
        fields: dict[str, object] = dict(self._shared if self._last is None else _fields.decode(self._last))
        fields["choices"] = []
        fields["usage"] = self._told or completion_usage(known)
        return sse.frame(_encode(fields)) + sse.DONE_FRAME


def _says_something(choices: msgspec.Raw) -> bool:
    """Some providers tell usage beside a choice whose delta is empty: such a choice is noise."""
    for choice in _choices.decode(choices) or ():
        said = choice.get("delta") or {"text": choice.get("text")}
        if choice.get("finish_reason") or choice.get("logprobs") or any(said.values()):
            return True
    return False
