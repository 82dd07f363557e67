"""Any server that speaks OpenAI's format: OpenAI itself, vLLM, Ollama, LM Studio and many more."""

from collections.abc import AsyncGenerator, Callable, Iterator
from types import TracebackType
from typing import Final

from undercroft import __version__
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import parse_base_url
from undercroft.egress.response import Response
from undercroft.errors import UpstreamError, UpstreamGarbled
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Chunk, CompletionRequest, EmbeddingsRequest
from undercroft.wire import sse
from undercroft.wire.openai import chat, completions, embeddings
from undercroft.wire.openai.failures import decode_error

_MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
"""2,048 vectors of 3,072 numbers written out are 75 MB."""
_MAX_ERROR_BYTES: Final = 1024 * 1024

Decode = Callable[[bytes], Chunk]


class OpenAICompatible:
    """A ChatProvider, CompletionProvider and EmbeddingProvider for one model at one address.

    The key goes to that address only: a redirect is not followed but reported.
    """

    def __init__(
        self, name: str, *, base_url: str, api_key: str | None, model: str, client: Client, clock: Clock
    ) -> None:
        self.name = name
        self._model = model
        self._client = client
        self._clock = clock
        self._origin, path = parse_base_url(base_url)
        fields = {
            "content-type": "application/json",
            # Compressing would hold events back, and no usage could be read from the bytes as they pass.
            "accept-encoding": "identity",
            "user-agent": f"undercroft/{__version__}",
        }
        if api_key is not None:
            fields["authorization"] = f"Bearer {api_key}"

        def head(route: str) -> bytes:
            return request_head("POST", f"{path}/{route}", host=str(self._origin), fields=fields)

        self._chat_head = head("chat/completions")
        self._completions_head = head("completions")
        self._embeddings_head = head("embeddings")

    async def send(self, request: ChatRequest, /) -> Reply:
        body = chat.encode_request(request, model=self._model, ask_usage=True)
        response = await self._post(self._chat_head, body)
        if request.stream:
            count = request.sampling.n
            return await _streamed(response, chat.decode_chunk, chat.decode_whole, choices=count)
        return await _whole(response, chat.decode_whole)

    async def complete(self, request: CompletionRequest, /) -> Reply:
        body = completions.encode_request(request, model=self._model, ask_usage=True)
        response = await self._post(self._completions_head, body)
        if request.stream:
            count = request.sampling.n * len(request.prompts)
            return await _streamed(response, completions.decode_chunk, completions.decode_whole, choices=count)
        return await _whole(response, completions.decode_whole)

    async def embed(self, request: EmbeddingsRequest, /) -> Reply:
        response = await self._post(self._embeddings_head, embeddings.encode_request(request, model=self._model))
        chunk = embeddings.decode_whole(await response.body(_MAX_ANSWER_BYTES), base64=request.base64)
        if len(chunk.vectors) != len(request.inputs):
            raise UpstreamGarbled(f"The provider sent {len(chunk.vectors)} vectors for {len(request.inputs)} inputs.")
        return Reply(whole=chunk)

    async def _post(self, head: bytes, body: bytes) -> Response:
        """An answer that begins well."""
        response = await self._client.send(self._origin, head, body)
        if 200 <= response.status < 300:
            if "content-encoding" in response.headers and response.headers["content-encoding"] != "identity":
                response.close()
                raise UpstreamGarbled(
                    f"{self._origin} sent a compressed answer although none was asked for.",
                    hint="Look for a proxy between here and the provider that compresses.",
                )
            return response
        if response.status < 400:
            response.close()
            raise UpstreamGarbled(
                f"{self._origin} sent this call elsewhere (status {response.status}), which is not followed.",
                hint="Set base_url to the address it moved to.",
                upstream_status=response.status,
            )
        try:
            told = await response.body(_MAX_ERROR_BYTES)
        except UpstreamError:  # the status already says what matters
            told = b""
        raise decode_error(response.status, response.headers, told, now_us=self._clock.now_us())


async def _whole(response: Response, decode: Decode) -> Reply:
    return Reply(whole=decode(await response.body(_MAX_ANSWER_BYTES)))


async def _streamed(response: Response, decode_chunk: Decode, decode_whole: Decode, *, choices: int) -> Reply:
    """Returns when the first chunk is there: until then another deployment can be tried."""
    try:
        first = await response.read()
        if first.lstrip()[:1] in (b"{", b"[", b"<"):
            # Not a stream: an error, a web page, or the whole answer of a server that cannot stream.
            return Reply(whole=decode_whole(first + await response.body(_MAX_ANSWER_BYTES)))
        stream = _Stream(response, decode_chunk, choices=choices)
        await stream.begin(first)
    except BaseException:
        response.close()
        raise
    return Reply(stream)


class _Stream(AsyncGenerator[Chunk, None]):
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
