"""Any server that speaks OpenAI's format: OpenAI itself, vLLM, Ollama, LM Studio and many more."""

from collections.abc import Awaitable, Mapping

from undercroft import __version__
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import parse_base_url
from undercroft.egress.response import Response
from undercroft.errors import UpstreamError, UpstreamGarbled
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, CompletionRequest, EmbeddingsRequest
from undercroft.providers.exchange import MAX_ANSWER_BYTES, post, streamed, whole
from undercroft.wire.openai import chat, completions, embeddings
from undercroft.wire.openai.failures import decode_error


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
            return await streamed(response, chat.decode_chunk, chat.decode_whole, choices=count)
        return await whole(response, chat.decode_whole)

    async def complete(self, request: CompletionRequest, /) -> Reply:
        body = completions.encode_request(request, model=self._model, ask_usage=True)
        response = await self._post(self._completions_head, body)
        if request.stream:
            count = request.sampling.n * len(request.prompts)
            return await streamed(response, completions.decode_chunk, completions.decode_whole, choices=count)
        return await whole(response, completions.decode_whole)

    async def embed(self, request: EmbeddingsRequest, /) -> Reply:
        response = await self._post(self._embeddings_head, embeddings.encode_request(request, model=self._model))
        chunk = embeddings.decode_whole(await response.body(MAX_ANSWER_BYTES), base64=request.base64)
        if len(chunk.vectors) != len(request.inputs):
            raise UpstreamGarbled(f"The provider sent {len(chunk.vectors)} vectors for {len(request.inputs)} inputs.")
        return Reply(whole=chunk)

    def _post(self, head: bytes, body: bytes) -> Awaitable[Response]:
        return post(self._client, self._origin, head, body, explain=self._explain)

    def _explain(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return decode_error(status, headers, body, now_us=self._clock.now_us())
