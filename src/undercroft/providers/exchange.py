"""What calls to any remote provider share: an answer that begins well, read whole or as a stream of events."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Final

from undercroft.egress.client import Client
from undercroft.egress.origin import Origin
from undercroft.egress.response import Response
from undercroft.errors import UpstreamError, UpstreamGarbled
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk
from undercroft.wire import sse

MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
"""2,048 vectors of 3,072 numbers written out are 75 MB."""
_MAX_ERROR_BYTES: Final = 1024 * 1024

Decode = Callable[[bytes], Chunk]
Explain = Callable[[int, Mapping[str, str], bytes], UpstreamError]
"""The error that a status, its headers and a body stand for."""


async def post(client: Client, origin: Origin, head: bytes, body: bytes, *, explain: Explain) -> Response:
    """An answer that begins well."""
    response = await client.send(origin, head, body)
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
    raise explain(response.status, response.headers, told)


async def whole(response: Response, decode: Decode) -> Reply:
    """An answer in one piece."""
    return Reply(whole=decode(await response.body(MAX_ANSWER_BYTES)))


async def streamed(response: Response, decode_chunk: Decode, decode_whole: Decode, *, choices: int) -> Reply:
    """Returns when the first chunk is there: until then another deployment can be tried."""
    try:
        first = await response.read()
        if first.lstrip()[:1] in (b"{", b"[", b"<"):
            # Not a stream: an error, a web page, or the whole answer of a server that cannot stream.
            return Reply(whole=decode_whole(first + await response.body(MAX_ANSWER_BYTES)))
        stream = Stream(response, decode_chunk, choices=choices)
        await stream.begin(first)
    except BaseException:
        response.close()
        raise
    return Reply(stream)


class Stream(AsyncGenerator[Chunk, None]):
    """The chunks of a stream, one for each event.

    Not an `async def` with `yield`: closing such a generator before its first step runs none of its code, and the
    upstream would go on talking.
    """

    __slots__ = ("_choices", "_decode", "_events", "_finished", "_first", "_is_over", "_parser", "_response", "_seen")

    def __init__(self, response: Response, decode: Decode, *, choices: int) -> None:
        self._response = response
        self._decode = decode
        self._choices = choices
        self._parser = sse.Events()
        self._events: Iterator[bytes] = iter(())
        self._first: Chunk | None = None
        self._is_over = False
        self._seen: set[int] = set()
        self._finished: set[int] = set()

    async def begin(self, piece: bytes) -> None:
        """Reads up to the first chunk; `piece` has been read already."""
        self._events = iter(self._parser.feed(piece))
        self._first = await self.__anext__()

    async def __anext__(self) -> Chunk:
        if self._first is not None:
            chunk, self._first = self._first, None
            return chunk
        try:
            while not self._is_over:
                for event in self._events:
                    if event == sse.DONE:
                        self._done()
                        break
                    return self._chunk(event)
                else:
                    await self._receive()
        except BaseException:
            await self.aclose()
            raise
        raise StopAsyncIteration

    async def asend(self, _value: None, /) -> Chunk:
        return await self.__anext__()

    async def athrow(
        self,
        kind: type[BaseException] | BaseException,
        _value: BaseException | object = None,
        _traceback: TracebackType | None = None,
        /,
    ) -> Chunk:
        await self.aclose()
        raise kind

    async def aclose(self) -> None:
        """Cuts the upstream off, unless it had ended."""
        self._first = None
        self._is_over = True
        self._response.close()

    def _chunk(self, event: bytes) -> Chunk:
        chunk = self._decode(event)
        for choice in chunk.choices:
            self._seen.add(choice.index)
            if choice.finish_reason is not None:
                self._finished.add(choice.index)
        return chunk

    def _done(self) -> None:
        """Every choice that began must have ended; a server that does not know `n` begins fewer than asked for."""
        if not self._seen or self._seen != self._finished:
            raise UpstreamGarbled("The provider ended its stream before its answer was complete.")
        self._is_over = True
        self._response.discard()

    async def _receive(self) -> None:
        """Reads on. Without `[DONE]` the stream may stop only when every choice asked for has ended."""
        is_complete = len(self._finished) >= self._choices and self._seen == self._finished
        try:
            piece = await self._response.read()
        except UpstreamError:
            if not is_complete:
                raise
            piece = b""
        if piece:
            self._events = iter(self._parser.feed(piece))
        elif is_complete:
            self._is_over = True
        elif self._parser.end():  # the last event lacks its empty line; if it is cut, decoding it will tell
            self._events = iter(self._parser.feed(b"\n\n"))
        else:
            raise UpstreamGarbled("The provider's stream broke off in the middle of its answer.")
