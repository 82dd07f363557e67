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

_OF_EVERY_CHUNK: Final = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
)
_NULL: Final = msgspec.Raw(b"null")
_NO_CHOICES: Final = msgspec.Raw(b"[]")


class SourceStream:
    """Keeps usage out of the events it passes on, untouched otherwise, and tells it once at the end if asked to."""

    __slots__ = ("_held", "_include_usage", "_last", "_shared", "_told", "_usage")

    def __init__(self, shared: Mapping[str, object], *, include_usage: bool) -> None:
        self._shared = shared
        """What every event carries when we write it: id, object, created, model."""
        self._include_usage = include_usage
        self._last: bytes | None = None
        self._told: msgspec.Raw | None = None
        """Usage as the provider wrote it."""
        self._usage: Usage | None = None
        self._held: dict[str, msgspec.Raw] = {}
        """What Azure says of the prompt in a chunk without choices, which clients trip over: the next one has it."""

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
        is_first = self._last is None
        if chunk.usage is None:
            if chunk.choices and not self._held:
                self._last = source
                return sse.frame(source)
            return self._frame_held(source, chunk)
        self._last = source
        fields = _fields.decode(source)
        self._told = msgspec.Raw(bytes(fields["usage"])) if "usage" in fields else None
        self._usage = chunk.usage
        if not chunk.choices or not _says_something(fields.get("choices", _NO_CHOICES), is_first=is_first):
            return b""
        if self._include_usage:
            fields["usage"] = _NULL
        else:
            fields.pop("usage", None)
        return sse.frame(_encode(fields))

    def _frame_held(self, source: bytes, chunk: Chunk) -> bytes:
        fields = _fields.decode(source)
        if not chunk.choices:
            self._held |= {name: value for name, value in fields.items() if name not in _OF_EVERY_CHUNK}
            return b""
        self._last = source
        held, self._held = self._held, {}
        return sse.frame(_encode({**held, **fields}))

    def end(self, usage: Usage | None) -> bytes:
        """The usage event, if it was asked for and is known, and `[DONE]`."""
        known = self._usage or usage
        if not self._include_usage or known is None:
            return sse.DONE_FRAME
        fields: dict[str, object] = dict(self._shared if self._last is None else _fields.decode(self._last))
        fields["choices"] = []
        fields["usage"] = self._told or completion_usage(known)
        return sse.frame(_encode(fields)) + sse.DONE_FRAME


def _says_something(choices: msgspec.Raw, *, is_first: bool) -> bool:
    """Some providers tell usage beside a choice whose delta is empty, or has a role once more: such a one is noise."""
    for choice in _choices.decode(choices) or ():
        said = choice.get("delta") or {"text": choice.get("text")}
        if (
            choice.get("finish_reason")
            or choice.get("logprobs")
            or any(value for name, value in said.items() if is_first or name != "role")
        ):
            return True
    return False
