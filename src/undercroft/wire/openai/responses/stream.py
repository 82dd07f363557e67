"""Writes a response: whole, or as a stream of events."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire.openai.responses.answer import (
    Ended,
    Incomplete,
    ItemStatus,
    OutputItem,
    Response,
    ResponseFailure,
    Status,
    changed,
    ended,
    failure_of,
    incomplete_reason,
    item_id,
    items_of,
    read_ended,
    response_usage,
    stopped,
    text_logprobs,
)
from undercroft.wire.openai.responses.file_search import Retrieved
from undercroft.wire.openai.responses.parts import DoneItem, Events, OpenCall, OpenItem, OpenMessage, OpenReasoning
from undercroft.wire.openai.responses.relay import Relay

SEARCH: Final = "fs_"


def whole(
    chunk: Chunk,
    response: Response,
    *,
    suffix: str,
    completed: int,
    changes: Mapping[str, object],
    retrieved: Retrieved | None = None,
) -> Ended:
    """A whole answer: the provider's own where it speaks this format, but for what only we know."""
    if chunk.source is not None and chunk.whole and chunk.dialect == "openai.responses":
        return read_ended(changed(chunk.source, **changes) if changes else chunk.source)
    choice = chunk.choices[0] if chunk.choices else Choice()
    usage = chunk.usage or Usage()
    items = items_of(choice, suffix)
    if retrieved is not None:
        items = [retrieved.call(item_id(SEARCH, suffix, 0)), *retrieved.annotated(items)]
    return ended(_complete(response, items, choice.finish_reason, usage, completed=completed))


def _complete(
    response: Response, items: list[OutputItem], finish_reason: str | None, usage: Usage, *, completed: int
) -> Response:
    reason = incomplete_reason(finish_reason)
    return msgspec.structs.replace(
        response,
        status="incomplete" if reason else "completed",
        completed_at=None if reason else completed,
        incomplete_details=Incomplete(reason=reason) if reason else None,
        output=items,
        usage=response_usage(usage),
    )


class ResponseStream:
    """Writes one answer's event stream, behind what was `retrieved` for it.

    `frame` for each chunk, then `finish`, which says how it came out (to be stored), and `end`, the last event. A
    broken stream ends with `error`. Where the response has been `announced`, it goes on from event number `first`.
    """

    __slots__ = (
        "_calls",
        "_done",
        "_ended",
        "_events",
        "_finish_reason",
        "_is_announced",
        "_is_begun",
        "_items",
        "_message",
        "_reasoning",
        "_relay",
        "_response",
        "_retrieved",
        "_suffix",
        "_usage",
    )  # fmt: skip

    def __init__(
        self,
        response: Response,
        *,
        suffix: str,
        changes: Mapping[str, object],
        is_announced: bool = False,
        first: int = 0,
        retrieved: Retrieved | None = None,
    ) -> None:
        self._response = response
        self._retrieved = retrieved
        self._suffix = suffix
        self._events = Events(first=first)
        self._is_announced = is_announced
        self._relay = Relay(self._events, changes, is_announced=is_announced)
        self._is_begun = False
        self._items: list[OpenItem] = []
        self._done: dict[int, OutputItem] = {}
        self._message: OpenMessage | None = None
        self._reasoning: OpenReasoning | None = None
        self._calls: dict[int, OpenCall] = {}
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._ended: Ended | None = None

    def frame(self, chunk: Chunk) -> bytes:
        """The bytes of one chunk; empty when there is nothing to send yet."""
        if chunk.source is not None and chunk.dialect == "openai.responses":
            self._is_begun = True
            return self._relay.whole(chunk.source) if chunk.whole else self._relay.frame(chunk.source)
        said = b"" if self._is_begun else self._begin()
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices:
            if choice.index == 0:
                said += self._say(choice)
        return said

    def _begin(self) -> bytes:
        self._is_begun = True
        told = b"" if self._is_announced else self._events.event("response.created", response=self._response)
        return told + self._events.event("response.in_progress", response=self._response) + self._lead()

    def _lead(self) -> bytes:
        """What was searched for the answer, before the model says anything."""
        if self._retrieved is None:
            return b""
        item = self._retrieved.call(item_id(SEARCH, self._suffix, 0))
        done = DoneItem(self._events, item)
        self._items.append(done)
        self._done[0] = item
        return done.told(0)

    def _say(self, choice: Choice) -> bytes:
        said = b""
        if choice.reasoning or choice.signature:
            said += self._think(choice)
        if choice.text:
            said += self._speak(b"output_text", choice.text, text_logprobs(choice.logprobs))
        if choice.refusal:
            said += self._speak(b"refusal", choice.refusal, [])
        for call in choice.tool_calls:
            said += self._call(call)
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason
            said += self._close_all()
        return said

    def _think(self, choice: Choice) -> bytes:
        said = b""
        if self._reasoning is None:
            said = self._close(self._message)
            self._message = None
            index = len(self._items)
            self._reasoning = OpenReasoning(self._events, id=item_id("rs_", self._suffix, index), index=index)
            self._items.append(self._reasoning)
            said += self._reasoning.start()
        return said + self._reasoning.think(choice.reasoning, choice.signature)

    def _speak(self, kind: bytes, text: str, logprobs: list[dict[str, Any]]) -> bytes:
        said = b""
        if self._message is None:
            said = self._close(self._reasoning)
            self._reasoning = None
            index = len(self._items)
            annotate = self._retrieved.annotations if self._retrieved is not None else None
            self._message = OpenMessage(
                self._events, id=item_id("msg_", self._suffix, index), index=index, annotate=annotate
            )
            self._items.append(self._message)
            said += self._message.start()
        return said + self._message.say(kind, text, logprobs)

    def _call(self, delta: ToolCallDelta) -> bytes:
        """Calls stay open to the end: some providers write several at once."""
        said = b""
        call = self._calls.get(delta.index)
        if call is None:
            said = self._close(self._reasoning) + self._close(self._message)
            self._reasoning = self._message = None
            index, is_custom = len(self._items), delta.type == "custom"
            call = OpenCall(
                self._events,
                id=item_id("ctc_" if is_custom else "fc_", self._suffix, index),
                index=index,
                call_id=delta.id or item_id("call_", self._suffix, index),
                name=delta.name or "",
                is_custom=is_custom,
            )
            self._calls[delta.index] = call
            self._items.append(call)
            said += call.start()
        return said + call.grow(delta.arguments) if delta.arguments else said

    def _close(self, item: OpenItem | None, status: ItemStatus = "completed") -> bytes:
        if item is None:
            return b""
        said = item.finish(status)
        self._done[self._items.index(item)] = item.item(status)
        return said

    def _close_all(self) -> bytes:
        said = b""
        if len(self._items) == (self._retrieved is not None):  # an answer without a word is a message without a word
            said = self._speak(b"output_text", "", [])
        status: ItemStatus = "incomplete" if incomplete_reason(self._finish_reason) else "completed"
        for index, item in enumerate(self._items):
            if index not in self._done:
                said += self._close(item, status)
        self._message = self._reasoning = None
        return said

    @property
    def is_relayed(self) -> bool:
        """The provider speaks this format: the events, and the ids in them, are its own."""
        return self._relay.last is not None

    def finish(self, usage: Usage | None, *, completed: int) -> Ended:
        """How a complete stream came out. `usage` is told where the provider told none."""
        if self._ended is None:
            self._ended = self._relay.ended
        if self._ended is None:
            known = self._usage or usage or Usage()
            items = [self._done[index] for index in sorted(self._done)]
            self._response = _complete(self._response, items, self._finish_reason, known, completed=completed)
            self._ended = ended(self._response)
        return self._ended

    def end(self, how: Ended) -> bytes:
        """The last event of a complete stream, whose response came out like this."""
        if self._relay.ended is not None:
            return self._relay.end(how)
        return self._events.event(_LAST[how.status], response=msgspec.Raw(how.body))

    def failed(self, error: BaseException) -> Ended:
        """How a broken stream came out: with what there is of the answer."""
        why = failure_of(error)
        if self._relay.last is not None:
            return stopped(self._relay.last, "failed", why=why)
        return ended(self._stopped("failed", why))

    def error(self, error: BaseException) -> bytes:
        """The last event of a broken stream."""
        begun = b"" if self._is_begun else self._begin()
        return begun + self._events.event("response.failed", response=msgspec.Raw(self.failed(error).body))

    def _stopped(self, status: Status, why: ResponseFailure) -> Response:
        items = [self._done.get(index) or item.item("incomplete") for index, item in enumerate(self._items)]
        usage = response_usage(self._usage) if self._usage else None
        return msgspec.structs.replace(self._response, status=status, error=why, output=items, usage=usage)


_LAST: Final[Mapping[str, str]] = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "failed": "response.failed",
    "cancelled": "response.failed",  # clients know no other event for an answer that breaks off
}


def announced(queued: bytes) -> bytes:
    """The events of a response that waits for its turn."""
    events, body = Events(), msgspec.Raw(queued)
    return events.event("response.created", response=body) + events.event("response.queued", response=body)


ANNOUNCED: Final = 2
"""How many events that are."""


def last_event(how: Ended, *, number: int) -> bytes:
    """The event that says how a response ended."""
    return Events(first=number).event(_LAST[how.status], response=msgspec.Raw(how.body))


def is_last_event(event: bytes) -> bool:
    return event.startswith(
        (b"event: response.completed\n", b"event: response.incomplete\n", b"event: response.failed\n")
    )
