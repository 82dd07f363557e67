"""What providers share that are reached over HTTP: an answer that begins well, and its stream's chunks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.egress.http1 import below
from undercroft.egress.origin import Origin
from undercroft.egress.response import Response
from undercroft.errors import UpstreamError, UpstreamGarbled
from undercroft.llm.reply import MOST_HELD, ChunkStream, Reply
from undercroft.llm.types import Chunk
from undercroft.telemetry.trace_context import current
from undercroft.wire import sse

MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
"""2,048 vectors of 3,072 numbers written out are 75 MB."""
_MAX_ERROR_BYTES: Final = 1024 * 1024
_CHECK_S: Final = 5.0
"""A list of models that takes longer is no sign of health."""

_LIMITS: Final = {
    f"x-ratelimit-{what}-{of}": f"x-ratelimit-{what}-{of}".encode()
    for what in ("limit", "remaining", "reset")
    for of in ("requests", "tokens")
}

Decode = Callable[[bytes], Chunk]


class DecodeError(Protocol):
    """Makes an error of what a provider answered instead; `headers` by lower-case name."""

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes, /, *, now_us: int) -> UpstreamError: ...


class Reading(Protocol):
    """One stream as its format has it."""

    @property
    def has_begun(self) -> bool:
        """There is something of the answer: from here on no other deployment can be tried."""
        ...

    @property
    def is_complete(self) -> bool:
        """The stream may stop here, though the event that ends it has not come."""
        ...

    def read(self, event: bytes, /) -> Chunk | None:
        """An event's chunk; None for the one that ends the stream. Raises UpstreamError kinds."""
        ...


async def post(
    client: Client,
    origin: Origin,
    head: bytes,
    body: bytes,
    *,
    decode_error: DecodeError,
    clock: Clock,
    begun: Response | None = None,
) -> Response:
    """An answer that begins well. What is traced goes with its trace context. `begun`: the same was sent already
    (`Client.begin`)."""
    context = current.get()
    if context is not None:
        head = below(head, context.header())
    response = await client.send(origin, head, body, begun=begun)
    if 200 <= response.status < 300:
        if "content-encoding" in response.headers and response.headers["content-encoding"] != "identity":
            response.close()
            raise UpstreamGarbled(
                f"{origin} sent a compressed answer although none was asked for.",
                hint="Look for a proxy between here and the provider that compresses.",
            )
        return response
    if response.status < 400:
        response.close()
        raise UpstreamGarbled(
            f"{origin} sent this call elsewhere (status {response.status}), which is not followed.",
            hint="Set base_url to the address it moved to.",
            upstream_status=response.status,
        )
    try:
        told = await response.body(_MAX_ERROR_BYTES)
    except UpstreamError:  # the status already says what matters
        told = b""
    raise decode_error(response.status, response.headers, told, now_us=clock.now_us())


async def check(client: Client, origin: Origin, head: bytes, *, decode_error: DecodeError, clock: Clock) -> None:
    """Asks for the list of models. A server that has none (404) or is busy (429) is there all the same."""
    response = await client.send(origin, head, b"", first_byte_s=_CHECK_S, idle_s=_CHECK_S)
    if response.status < 400 or response.status in (404, 405, 429):
        response.discard()
        return
    told = await response.body(_MAX_ERROR_BYTES)
    raise decode_error(response.status, response.headers, told, now_us=clock.now_us())


def limits_of(response: Response) -> tuple[tuple[bytes, bytes], ...]:
    """Its rate limits, where a provider tells them in OpenAI's headers; silence costs two look-ups."""
    headers = response.headers
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return ()
    return tuple([(name, headers[text].encode("latin-1")) for text, name in _LIMITS.items() if text in headers])


async def whole(response: Response, decode: Decode, *, dropped: tuple[str, ...] = ()) -> Reply:
    return Reply(whole=decode(await response.body(MAX_ANSWER_BYTES)), dropped=dropped, limits=limits_of(response))


async def streamed(
    response: Response,
    reading: Reading,
    decode_whole: Decode,
    *,
    dropped: tuple[str, ...] = (),
    kind: "type[EventStream] | None" = None,
) -> Reply:
    """Returns when the answer has begun: until then another deployment can be tried."""
    try:
        first = await response.read()
        if first.lstrip()[:1] in (b"{", b"[", b"<"):
            # Not a stream: an error, a web page, or the whole answer of a server that cannot stream.
            return Reply(
                whole=decode_whole(first + await response.body(MAX_ANSWER_BYTES)),
                dropped=dropped,
                limits=limits_of(response),
            )
        stream = (kind or EventStream)(response, reading)
        await stream.begin(first)
    except BaseException:
        response.close()
        raise
    return Reply(stream, dropped=dropped, has_begun=True, limits=limits_of(response))


class EventStream(ChunkStream):
    """The chunks of a stream, one for each event."""

    __slots__ = ("_events", "_held", "_is_over", "_parser", "_read", "_reading", "_response")

    def __init__(self, response: Response, reading: Reading) -> None:
        self._response = response
        self._reading = reading
        self._read = reading.read
        self._parser = sse.Events()
        self._events: Iterator[bytes] = iter(())
        self._held: list[Chunk] = []
        """Read already, the next one last."""
        self._is_over = False

    async def begin(self, piece: bytes) -> None:
        """Reads until the answer has begun and says something; `piece` has been read already.

        What comes before it is kept back: when the stream breaks off here, nothing of it has reached anybody.
        """
        self._feed(piece)
        held: list[Chunk] = []
        async for chunk in self:
            held.append(chunk)
            if self._reading.has_begun and (chunk.says_something() or len(held) >= MOST_HELD):
                break
        held.reverse()
        self._held = held

    async def __anext__(self) -> Chunk:
        if self._held:
            return self._held.pop()
        try:
            while not self._is_over:
                for event in self._events:
                    chunk = self._read(event)
                    if chunk is not None:
                        return chunk
                    self._is_over = True
                    self._response.discard()
                    break
                else:
                    await self._receive()
        except BaseException:
            await self.aclose()
            raise
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cuts the upstream off, unless it had ended."""
        self._held.clear()
        self._is_over = True
        self._response.close()

    async def _receive(self) -> None:
        """Reads on. Without the event that ends it the stream may stop only when the answer is complete."""
        is_complete = self._reading.is_complete
        try:
            piece = await self._response.read()
        except UpstreamError:
            if not is_complete:
                raise
            piece = b""
        if piece:
            self._feed(piece)
        elif is_complete:
            self._is_over = True
        elif self._parser.end():  # the last event lacks its empty line; if it is cut, decoding it will tell
            self._events = iter(self._parser.feed(b"\n\n"))
        else:
            raise UpstreamGarbled("The provider's stream broke off in the middle of its answer.")

    def _feed(self, piece: bytes) -> None:
        events = self._parser.feed(piece)
        self._events = iter(events)
        if not events:
            self._response.said_nothing()
