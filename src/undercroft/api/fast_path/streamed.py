"""An answer that comes as a stream of events."""

import asyncio
import sys

from undercroft.api.calls import EVENT_STREAM, StreamWriter, headers_of
from undercroft.api.exchange import identity_of
from undercroft.api.fast_path.going import Answer, Going, StartedCall
from undercroft.api.fast_path.likeness import Likeness
from undercroft.egress.response import Response
from undercroft.errors import UndercroftError, UpstreamError, UpstreamGarbled
from undercroft.gateway.call import Reading
from undercroft.gateway.growing import CHARACTERS_PER_TOKEN
from undercroft.llm.reply import MOST_HELD
from undercroft.llm.types import ChatRequest, Chunk
from undercroft.wire import sse

BROKEN_OFF = "The provider's stream broke off in the middle of its answer."


class StreamedAnswer(Answer):
    """Passed on event by event, from the first that says something on.

    A client that does not keep up makes what comes wait in the response, and that its upstream. So does an answer that
    has become as long as what was held for it, until more is held.
    """

    __slots__ = (
        "_codec", "_count", "_events", "_growing", "_held", "_likeness", "_parser", "_raw", "_reading", "_room",
        "_trail", "_writer",
    )  # fmt: skip

    def __init__(self, started: StartedCall, response: Response, going: Going) -> None:
        super().__init__(started, response, going)
        request = started.call.request
        assert isinstance(request, ChatRequest)
        self._reading: Reading = started.way.reading(request)
        self._codec = started.format.codec
        self._parser = sse.Events()
        self._raw = b""
        """All that has come, as long as it may still be left to the stages."""
        self._held: list[Chunk] = []
        self._writer: StreamWriter | None = None
        """Set once the answer has begun."""
        self._count = 0
        self._likeness: Likeness | None = None
        """Of the event that was passed on last."""
        stake = started.stake
        self._room = stake.tokens * CHARACTERS_PER_TOKEN if stake.grows else sys.maxsize
        """Characters that may be passed on before more is held."""
        self._trail = started.call.trail
        self._events: list[bytes] = []
        """Read from the stream, and waiting for that."""
        self._growing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._cycle.on_drained = self._on_change
        super().begin()

    def _changed(self) -> None:
        self._go_on()
        if not self._is_ended:
            self._response.on_chunk = self._take_like if self._is_even() else None

    def _is_even(self) -> bool:
        """Nothing is half-way, and an event like the last one can be passed on as it comes. It stays so until
        `_changed`."""
        if self._likeness is None or self._events or self._growing is not None:
            return False
        return self._parser.is_between and self._response.is_empty and self._cycle.is_chunked

    def _go_on(self) -> None:
        response, cycle = self._response, self._cycle
        if self._writer is None and not self._is_well():
            self._leave()
            return
        while not self._is_ended and not cycle.is_clogged:
            if self._growing is not None or self._trail.produced_characters > self._room:
                self._make_room()
                return
            if self._events:
                events, self._events = self._events, []
                self._read_or_break(events)
                continue
            piece = response.taken()
            if piece:
                self._take(piece)
            elif response.is_over:
                self._take_end()
            else:
                return

    def _take_like(self, chunk: bytes) -> bool:
        """Passes on a chunk with one more event like the last one: most of a stream. Called only while all is even."""
        likeness, cycle = self._likeness, self._cycle
        if likeness is None or cycle.is_clogged or self._trail.produced_characters > self._room:
            return False
        characters = likeness.characters_of(chunk)
        if characters is None:
            return False
        self._count += 1
        try:
            self._going.gateway.meter.take_text(self._call, characters, self._count)
            cycle.write_chunk(chunk)
        except UndercroftError as error:  # no trace of it can be kept any more
            self._break(error)
        except Exception as error:  # noqa: BLE001 - as in `_on_change`, which does not always stand above this
            self._stumble(error)
        return True

    def _take(self, piece: bytes) -> None:
        if self._writer is None:
            if not self._raw and piece.lstrip()[:1] in (b"{", b"[", b"<"):  # no stream
                self._raw = piece
                self._leave()
                return
            self._raw += piece
        try:
            events = self._parser.feed(piece)
        except UpstreamError as error:
            self._break(error)
            return
        if not events:
            self._response.said_nothing()
        self._read_or_break(events)

    def _read_or_break(self, events: list[bytes]) -> None:
        try:
            self._read(events)
        except UpstreamError as error:
            self._break(error)

    def _take_end(self) -> None:
        """No more comes. Without the event that ends it a stream may stop only when the answer is complete."""
        failure = self._response.failure
        if self._writer is None:
            self._leave()
        elif self._reading.is_complete:
            self._complete()
        elif failure is not None:
            self._break(failure)
        elif self._parser.end():  # the last event lacks its empty line; if it is cut, decoding it will tell
            try:
                self._read(self._parser.feed(b"\n\n"))
            except UpstreamError as error:
                self._break(error)
        else:
            self._break(UpstreamGarbled(BROKEN_OFF))

    def _read(self, events: list[bytes]) -> None:
        read = self._reading.read
        for place, event in enumerate(events):
            if self._trail.produced_characters > self._room:
                self._events = events[place:]
                return
            chunk = read(event)
            writer = self._writer
            if writer is not None:
                if chunk is None:
                    self._response.discard()
                    self._complete()
                    return
                self._pass_on(writer, chunk)
            elif chunk is None:  # nothing was said: the stages know what that is
                self._leave()
                return
            else:
                self._held.append(chunk)
                if chunk.says_something() or len(self._held) >= MOST_HELD:
                    self._start()
            if self._is_ended:
                return

    def _start(self) -> None:
        """The first words are there, with which the answer to the client begins."""
        call, held = self._call, self._held
        self._answered(streamed=True)
        self._raw, self._held = b"", []
        self._count = 1
        self._going.gateway.meter.take(call, held[0], 1)
        writer = self._writer = self._codec.stream(call)
        self._cycle.begin(200, [*EVENT_STREAM, *headers_of(call), *identity_of(call.id)])
        if frame := writer.frame(held[0]):
            self._cycle.write(frame)
        for chunk in held[1:]:
            self._pass_on(writer, chunk)

    def _pass_on(self, writer: StreamWriter, chunk: Chunk) -> None:
        self._count += 1
        try:
            self._going.gateway.meter.take(self._call, chunk, self._count)
        except UndercroftError as error:  # no trace of it can be kept any more
            self._break(error)
            return
        if frame := writer.frame(chunk):
            self._cycle.write(frame)
        self._likeness = Likeness.of(chunk) if frame and self._started.format.is_openai else None

    def _make_room(self) -> None:
        """More has to be held before anything else is passed on."""
        if self._growing is None:
            self._growing = asyncio.get_running_loop().create_task(self._grow())

    async def _grow(self) -> None:
        try:
            tokens = await self._started.stake.grow()
        except UndercroftError as error:
            self._growing = None
            self._break(error)
            return
        self._growing = None
        self._room = tokens * CHARACTERS_PER_TOKEN
        self._on_change()

    def _unhook(self) -> None:
        super()._unhook()
        if self._growing is not None:
            self._growing.cancel()

    def _complete(self) -> None:
        writer = self._writer
        assert writer is not None
        self._unhook()
        unbooked = self._going.book(self._call, None)
        last = self._codec.end(self._call, writer) if unbooked is None else writer.error(unbooked)
        self._cycle.end(last)
        self._going.under_way.end()

    def _break(self, error: UndercroftError, *, booked_as: BaseException | None = None) -> None:
        """What has begun ends too early, and says so."""
        writer = self._writer
        if writer is None:
            self._leave()
            return
        self._unhook()
        self._response.close()
        unbooked = self._going.book(self._call, booked_as or error)
        self._cycle.end(writer.error(unbooked or error))
        self._going.under_way.end()

    def _abandon(self, reason: UndercroftError) -> None:
        if self._writer is None:
            super()._abandon(reason)
            return
        self._call.trail.abandoned = reason
        self._break(reason, booked_as=asyncio.CancelledError())

    def _leave(self) -> None:
        self._response.put_back(self._raw)
        super()._leave()

    def _tell(self, error: BaseException) -> None:
        if self._writer is not None and self._cycle.answered:
            self._cycle.end(self._writer.error(error))
        else:
            super()._tell(error)
