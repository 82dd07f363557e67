"""The items of a response while they are being made: each says the events of its own growth."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from undercroft.wire.openai.responses.answer import (
    CustomToolCall,
    FileSearchCall,
    FunctionCall,
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputRefusal,
    OutputText,
    Reasoning,
    ReasoningText,
    reasoning_item,
)

_encode = msgspec.json.Encoder().encode


class Events:
    """Numbers events and frames them."""

    __slots__ = ("_next",)

    def __init__(self, *, first: int = 0) -> None:
        self._next = first

    def event(self, kind: str, **fields: object) -> bytes:
        return self.framed(kind.encode(), _encode(fields)[1:-1] + b"," if fields else b"")

    def framed(self, kind: bytes, members: bytes) -> bytes:
        """`members` are the event's own, each with its comma."""
        number, self._next = self._next, self._next + 1
        return b'event: %b\ndata: {"type":"%b",%b"sequence_number":%d}\n\n' % (kind, kind, members, number)

    def seen(self, number: int) -> None:
        """Somebody else's event had this number: ours go on from there."""
        self._next = number + 1

    def take(self) -> int:
        number, self._next = self._next, self._next + 1
        return number


Part = OutputText | OutputRefusal | ReasoningText


class OpenItem(Protocol):
    """An item that is not done."""

    def finish(self, status: ItemStatus, /) -> bytes:
        """The events that end it."""
        ...

    def item(self, status: ItemStatus, /) -> OutputItem:
        """As far as it has come."""
        ...


Annotate = Callable[[str], list[dict[str, Any]]]
"""Finds what a text cites."""


class DoneItem:
    """An item that was there before the model said anything: a search for its answer."""

    __slots__ = ("_events", "_item")

    def __init__(self, events: Events, item: FileSearchCall) -> None:
        self._events = events
        self._item = item

    def told(self, index: int) -> bytes:
        """Its whole life, in events."""
        event, where = self._events.event, {"output_index": index, "item_id": self._item.id}
        begun = msgspec.structs.replace(self._item, status="in_progress", queries=[], results=None)
        return (
            event("response.output_item.added", output_index=index, item=begun)
            + event("response.file_search_call.in_progress", **where)
            + event("response.file_search_call.searching", **where)
            + event("response.file_search_call.completed", **where)
            + event("response.output_item.done", output_index=index, item=self._item)
        )

    def finish(self, _: ItemStatus, /) -> bytes:
        return b""

    def item(self, _: ItemStatus, /) -> FileSearchCall:
        return self._item


class OpenPart:
    """A content part that grows: text, a refusal or reasoning."""

    __slots__ = ("_annotate", "_annotations", "_begin", "_events", "_kind", "_logprobs", "_pieces", "_where")

    def __init__(
        self,
        events: Events,
        kind: bytes,
        *,
        item_id: str,
        output_index: int,
        content_index: int,
        annotate: Annotate | None = None,
    ) -> None:
        self._events = events
        self._annotate = annotate if kind == b"output_text" else None
        self._annotations: list[dict[str, Any]] = []
        self._kind = kind
        self._where = {"item_id": item_id, "output_index": output_index, "content_index": content_index}
        self._begin = _encode(self._where)[1:-1] + b","
        self._pieces: list[str] = []
        self._logprobs: list[dict[str, Any]] = []

    def start(self) -> bytes:
        return self._events.event("response.content_part.added", **self._where, part=_part(self._kind, "", [], []))

    def grow(self, text: str, logprobs: list[dict[str, Any]]) -> bytes:
        self._pieces.append(text)
        members = self._begin + b'"delta":' + _encode(text) + b","
        if self._kind == b"output_text":
            if logprobs:
                self._logprobs += logprobs
            members += b'"logprobs":%b,' % (_encode(_short(logprobs)) if logprobs else b"[]")
        return self._events.framed(b"response.%b.delta" % self._kind, members)

    def part(self) -> Part:
        return _part(self._kind, "".join(self._pieces), self._logprobs, self._annotations)

    def finish(self) -> bytes:
        text = "".join(self._pieces)
        told: dict[str, object] = {_NAMES[self._kind]: text}
        if self._kind == b"output_text":
            told["logprobs"] = _short(self._logprobs)
        cited = b""
        if self._annotate is not None:
            self._annotations = self._annotate(text)
            for place, annotation in enumerate(self._annotations):
                cited += self._events.event(
                    "response.output_text.annotation.added",
                    **self._where,
                    annotation_index=place,
                    annotation=annotation,
                )
        done = cited + self._events.event(f"response.{self._kind.decode()}.done", **self._where, **told)
        return done + self._events.event("response.content_part.done", **self._where, part=self.part())


_NAMES: Final = {b"output_text": "text", b"refusal": "refusal", b"reasoning_text": "text"}


def _part(kind: bytes, text: str, logprobs: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> Part:
    if kind == b"output_text":
        return OutputText(text=text, annotations=annotations, logprobs=logprobs)
    return OutputRefusal(refusal=text) if kind == b"refusal" else ReasoningText(text=text)


def _short(logprobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As events tell them: without the tokens' bytes."""
    return [
        {
            "token": entry.get("token"),
            "logprob": entry.get("logprob"),
            "top_logprobs": [
                {"token": other.get("token"), "logprob": other.get("logprob")}
                for other in entry.get("top_logprobs") or ()
            ],
        }
        for entry in logprobs
    ]


class OpenMessage:
    """What the model is saying."""

    __slots__ = ("_annotate", "_done", "_events", "_id", "_index", "_kind", "_part")

    def __init__(self, events: Events, *, id: str, index: int, annotate: Annotate | None = None) -> None:
        self._events = events
        self._annotate = annotate
        self._id = id
        self._index = index
        self._done: list[OutputText | OutputRefusal] = []
        self._kind = b""
        self._part: OpenPart | None = None

    def start(self) -> bytes:
        return self._events.event("response.output_item.added", output_index=self._index, item=self.item("in_progress"))

    def say(self, kind: bytes, text: str, logprobs: list[dict[str, Any]]) -> bytes:
        begun = b""
        if self._part is None or kind != self._kind:
            begun = self._close()
            self._kind = kind
            self._part = OpenPart(
                self._events,
                kind,
                item_id=self._id,
                output_index=self._index,
                content_index=len(self._done),
                annotate=self._annotate,
            )
            begun += self._part.start()
        return begun + self._part.grow(text, logprobs)

    def _close(self) -> bytes:
        if self._part is None:
            return b""
        said = self._part.finish()
        self._done.append(self._part.part())  # type: ignore[arg-type]  # messages have no part of reasoning
        self._part = None
        return said

    def finish(self, status: ItemStatus, /) -> bytes:
        said = self._close()
        return said + self._events.event("response.output_item.done", output_index=self._index, item=self.item(status))

    def item(self, status: ItemStatus, /) -> OutputMessage:
        content = [*self._done]
        if self._part is not None:
            content.append(self._part.part())  # type: ignore[arg-type]  # as above
        return OutputMessage(id=self._id, status=status, content=content)


class OpenReasoning:
    """What the model is thinking."""

    __slots__ = ("_events", "_id", "_index", "_part", "_signature")

    def __init__(self, events: Events, *, id: str, index: int) -> None:
        self._events = events
        self._id = id
        self._index = index
        self._signature = ""
        self._part = OpenPart(events, b"reasoning_text", item_id=id, output_index=index, content_index=0)

    def start(self) -> bytes:
        item = Reasoning(id=self._id, status="in_progress")
        added = self._events.event("response.output_item.added", output_index=self._index, item=item)
        return added + self._part.start()

    def think(self, text: str, signature: str) -> bytes:
        self._signature += signature
        return self._part.grow(text, []) if text else b""

    def finish(self, status: ItemStatus, /) -> bytes:
        said = self._part.finish()
        return said + self._events.event("response.output_item.done", output_index=self._index, item=self.item(status))

    def item(self, status: ItemStatus, /) -> Reasoning:
        part = self._part.part()
        assert isinstance(part, ReasoningText)
        return reasoning_item(part.text, self._signature, id=self._id, status=status)


class OpenCall:
    """A call of a tool that the model is writing."""

    __slots__ = ("_call_id", "_events", "_id", "_index", "_is_custom", "_name", "_pieces")

    def __init__(self, events: Events, *, id: str, index: int, call_id: str, name: str, is_custom: bool) -> None:
        self._events = events
        self._id = id
        self._index = index
        self._call_id = call_id
        self._name = name
        self._is_custom = is_custom
        self._pieces: list[str] = []

    def start(self) -> bytes:
        return self._events.event("response.output_item.added", output_index=self._index, item=self.item("in_progress"))

    def grow(self, piece: str) -> bytes:
        self._pieces.append(piece)
        return self._events.event(
            f"response.{self._what}.delta", item_id=self._id, output_index=self._index, delta=piece
        )

    @property
    def _what(self) -> str:
        return "custom_tool_call_input" if self._is_custom else "function_call_arguments"

    def finish(self, status: ItemStatus, /) -> bytes:
        said = "".join(self._pieces)
        told = {"input": said} if self._is_custom else {"name": self._name, "arguments": said}
        done = self._events.event(f"response.{self._what}.done", item_id=self._id, output_index=self._index, **told)
        return done + self._events.event("response.output_item.done", output_index=self._index, item=self.item(status))

    def item(self, status: ItemStatus, /) -> FunctionCall | CustomToolCall:
        said = "".join(self._pieces)
        if self._is_custom:
            return CustomToolCall(id=self._id, status=status, call_id=self._call_id, name=self._name, input=said)
        return FunctionCall(id=self._id, status=status, call_id=self._call_id, name=self._name, arguments=said)
