"""Passes on the events of a provider that speaks Responses itself: as bytes, whatever they are."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from undercroft.wire.openai.responses.answer import Ended, changed, output_of, read_ended
from undercroft.wire.openai.responses.parts import Events

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

TERMINAL: Final = ("response.completed", "response.incomplete", "response.failed")
_ANNOUNCED: Final = ("response.created", "response.queued")


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    sequence_number: int | None = None
    response: msgspec.Raw = msgspec.Raw()
    """Empty: there is none."""


_events = msgspec.json.Decoder(_Event)


class Relay:
    """One answer's events. `changes` are members of the response object that only we know.

    The last event is held back until the response has been stored, so that who has read it finds it.
    """

    __slots__ = ("_changes", "_events", "_is_announced", "_kind", "_last_event", "ended", "last")

    def __init__(self, events: Events, changes: Mapping[str, object], *, is_announced: bool) -> None:
        self._events = events
        self._changes = changes
        self._is_announced = is_announced
        """The caller has had a `response.created` of ours: the provider's would be a second, under another number."""
        self._kind = ""
        self._last_event = b""
        self.last: bytes | None = None
        """The response object as it was told last."""
        self.ended: Ended | None = None

    def frame(self, data: bytes) -> bytes:
        """The bytes of an event; empty for the last one and for what the caller has had already."""
        event = _events.decode(data)
        body = bytes(event.response)
        if body:
            self.last = changed(body, **self._changes) if self._changes else body
        if self._is_announced and event.type in _ANNOUNCED:
            return b""
        if self._is_announced or (self._changes and body):
            data = self._rewritten(data, event, has_response=bool(body))
        elif event.sequence_number is not None:
            self._events.seen(event.sequence_number)
        if event.type not in TERMINAL:
            return _framed(event.type, data)
        self._last_event = data
        self._kind = event.type
        self.ended = read_ended(self.last or b"{}")
        return b""

    def _rewritten(self, data: bytes, event: _Event, *, has_response: bool) -> bytes:
        fields: dict[str, Any] = dict(_fields.decode(data))
        if has_response:
            fields["response"] = msgspec.Raw(self.last or b"null")
        if self._is_announced:
            fields["sequence_number"] = self._events.take()
        elif event.sequence_number is not None:
            self._events.seen(event.sequence_number)
        return _encode(fields)

    def whole(self, body: bytes) -> bytes:
        """The events of an answer that came in one piece although a stream was asked for; the last is held back."""
        self.last = changed(body, **self._changes) if self._changes else body
        self.ended = read_ended(self.last)
        events = self._events
        begun = changed(self.last, status="in_progress", output=[], usage=None, completed_at=None)
        told = []
        if not self._is_announced:
            told.append(events.event("response.created", response=msgspec.Raw(begun)))
        told.append(events.event("response.in_progress", response=msgspec.Raw(begun)))
        for index, item in enumerate(output_of(self.last)):
            told += self._item(index, item)
        kind = "response.incomplete" if self.ended.status == "incomplete" else "response.completed"
        self._kind = kind
        self._last_event = _encode({"type": kind, "response": msgspec.Raw(self.last), "sequence_number": events.take()})
        return b"".join(told)

    def _item(self, index: int, item: dict[str, Any]) -> list[bytes]:
        events, where = self._events, {"item_id": item.get("id", ""), "output_index": index}
        content = item.get("content") if item.get("type") == "message" else None
        parts = content if isinstance(content, list) else []
        opened = {**item, "status": "in_progress", "content": []} if parts else item
        told = [events.event("response.output_item.added", output_index=index, item=opened)]
        for position, part in enumerate(parts):
            at = {**where, "content_index": position}
            name = "refusal" if part.get("type") == "refusal" else "text"
            kind = "refusal" if name == "refusal" else "output_text"
            extra: dict[str, object] = {} if name == "refusal" else {"logprobs": []}
            told.append(events.event("response.content_part.added", **at, part={**part, name: ""}))
            told.append(events.event(f"response.{kind}.delta", **at, delta=part.get(name, ""), **extra))
            told.append(events.event(f"response.{kind}.done", **at, **{name: part.get(name, "")}, **extra))
            told.append(events.event("response.content_part.done", **at, part=part))
        told.append(events.event("response.output_item.done", output_index=index, item=item))
        return told

    def end(self, how: Ended) -> bytes:
        """The last event, with the response as it was stored."""
        data = self._last_event
        if how is not self.ended:
            data = _encode({**_fields.decode(data), "response": msgspec.Raw(how.body)})
        return _framed(self._kind, data)


def _framed(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data.replace(b"\n", b"\ndata: "))
