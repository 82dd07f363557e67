"""A call on the fast path: until its answer turns out to be the usual one, it can still be left to the stages."""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from undercroft.api.calls import cost_of, headers_of
from undercroft.api.cycle import Cycle
from undercroft.api.exchange import identity_of, too_late
from undercroft.api.fast_path.formats import Format
from undercroft.assembly import Undercroft
from undercroft.egress.response import Response
from undercroft.errors import ClientClosed, Unavailable, UndercroftError
from undercroft.gateway.balance import Turn
from undercroft.gateway.call import Call, Deployment, DirectProvider, Model, Stake
from undercroft.llm.types import Chunk
from undercroft.telemetry.logs import get_logger

WELL: Final = 200


class StartedCall(NamedTuple):
    """A call with its place at a deployment."""

    cycle: Cycle
    call: Call
    format: Format
    model: Model
    turn: Turn[Deployment]
    at: float
    """Since when, in monotonic seconds."""
    way: DirectProvider
    stake: Stake


class Going:
    """What all calls on the fast path use, and where they leave it."""

    def __init__(self, undercroft: Undercroft, *, leave: Callable[[StartedCall], None]) -> None:
        """Whoever takes a call over by `leave` also ends it as one that is under way."""
        self.gateway = undercroft.gateway
        self.under_way = undercroft.under_way
        self.timeout_s = undercroft.settings.server.request_timeout_s
        self.leave = leave

    def book_whole(self, call: Call, whole: Chunk) -> UndercroftError | None:
        """Books a whole answer; why that could not be, where it could not."""
        self.gateway.meter.take_whole(call, whole)
        return self.book(call, None)

    def give(self, cycle: Cycle, call: Call, format: Format, whole: Chunk, unbooked: UndercroftError | None) -> None:
        """Answers, once it is booked."""
        if unbooked is not None:
            self.tell(cycle, call.id, format, unbooked)
            return
        answer = format.codec.whole(call, whole)
        lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        cycle.respond(200, [*lines, *headers_of(call), cost_of(call), *identity_of(call.id)], answer)

    def book(self, call: Call, error: BaseException | None) -> UndercroftError | None:
        """Books the call's end; why it could not be written, where it could not."""
        try:
            self.gateway.meter.close(call, error)
        except Unavailable as unbooked:
            return unbooked
        return None

    def tell(self, cycle: Cycle, call_id: str, format: Format, error: BaseException) -> None:
        """The client learns of an error that comes instead of an answer."""
        if cycle.answered:
            cycle.end()
            return
        status, headers, body = format.envelope(error, request_id=call_id)
        lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
        cycle.respond(status, [*lines, *identity_of(call_id)], body)


class Answer:
    """An answer on its way. What is usual is dealt with here, in callbacks.

    Until the first byte for the client, everything else (another status, a broken connection, silence, a client who
    has left, a format that is not quite right) is left to the stages with all that has come so far: they judge it,
    retry and tell it as they do for any call.
    """

    __slots__ = ("_call", "_cycle", "_going", "_is_ended", "_response", "_started")

    def __init__(self, started: StartedCall, response: Response, going: Going) -> None:
        self._started = started
        self._cycle = started.cycle
        self._call = started.call
        self._response = response
        self._going = going
        self._is_ended = False

    def begin(self) -> None:
        """From now on the connections tell."""
        cycle, call = self._cycle, self._call
        cycle.deadline = call.deadline
        cycle.on_lost, cycle.on_expired, cycle.on_cut = self._lost, self._expired, self._cut
        if self._response.is_over:  # the connection was closed already
            self._leave()
        else:
            self._response.on_change = self._on_change

    def _on_change(self) -> None:
        if self._is_ended:
            return
        try:
            self._changed()
        except Exception as error:  # noqa: BLE001 - the outermost edge of a request
            self._stumble(error)

    def _stumble(self, error: Exception) -> None:
        """Something that should not happen has."""
        get_logger("undercroft.api").error("request_failed", request_id=self._call.id, exc_info=error)
        self._fail(error)

    def _changed(self) -> None:
        """The upstream's connection has something to tell."""
        raise NotImplementedError

    def _is_well(self) -> bool:
        """Whether it begins as answers do that are passed on."""
        response = self._response
        return response.status == WELL and "content-encoding" not in response.headers

    def _answered(self, *, streamed: bool) -> None:
        """There is an answer: from here on it is not left to the stages any more."""
        started, gateway = self._started, self._going.gateway
        trail = self._call.trail
        trail.begun = None
        gateway.route.answered(self._call, started.model, started.turn, started.at, streamed=streamed)
        trail.limits = started.way.limits_of(self._response)
        gateway.retry.answered(trail)

    def _leave(self) -> None:
        self._unhook()
        self._going.leave(self._started)

    def _unhook(self) -> None:
        cycle = self._cycle
        self._is_ended = True
        self._response.on_change = self._response.on_chunk = None
        cycle.on_lost = cycle.on_expired = cycle.on_cut = cycle.on_drained = None

    def _fail(self, error: BaseException) -> None:
        """Ends what cannot go on, however far it is."""
        is_booked = self._is_ended
        self._unhook()
        self._response.close()
        if not is_booked:
            error = self._going.book(self._call, error) or error
        self._tell(error)
        self._going.under_way.end()

    def _tell(self, error: BaseException) -> None:
        self._going.tell(self._cycle, self._call.id, self._started.format, error)

    # What the client's connection tells. Before the answer has begun, the stages are to hear of it.

    def _lost(self) -> None:
        self._abandon(ClientClosed("The client left before the answer was complete."))

    def _expired(self) -> None:
        self._abandon(too_late(self._going.timeout_s))

    def _cut(self) -> None:
        self._abandon(Unavailable("The server was stopped before the answer was complete.", code="interrupted"))

    def _abandon(self, reason: UndercroftError) -> None:
        cycle = self._cycle
        self._leave()
        if reason.code == "interrupted":  # once its task has begun, which then is told
            asyncio.get_running_loop().call_soon(cycle.cut)
        # else: whoever watches a client who has left, or a time that is up, notices by itself
