"""Google's Gemini by its own API."""

from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote

from undercroft import __version__
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import parse_base_url
from undercroft.egress.response import Response
from undercroft.errors import UpstreamGarbled
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Chunk, EmbeddingsRequest
from undercroft.llm.unsupported import Unsupported
from undercroft.providers.remote import MAX_ANSWER_BYTES, post, streamed, whole
from undercroft.record import Usage
from undercroft.wire import gemini as wire
from undercroft.wire.gemini.embeddings import MOST_AT_ONCE

BASE_URL: Final = "https://generativelanguage.googleapis.com/v1beta"
KEY_HEADER: Final = "x-goog-api-key"


class Gemini:
    """A ChatProvider and EmbeddingProvider for one model.

    The key goes to that address only, in a header: Google's `?key=` would end up in every log on the way.
    """

    def __init__(
        self,
        *,
        base_url: str | None,
        api_key: str | None,
        model: str,
        client: Client,
        clock: Clock,
        headers: Mapping[str, str] | None = None,
        drop_unsupported: bool = False,
    ) -> None:
        self.name = "gemini"
        self._model = model if "/" in model else f"models/{model}"
        self._drop = drop_unsupported
        self._client = client
        self._clock = clock
        self._origin, path = parse_base_url(base_url or BASE_URL)
        fields = {
            "content-type": "application/json",
            # Compressing would hold events back, and no usage could be read from the bytes as they pass.
            "accept-encoding": "identity",
            "user-agent": f"undercroft/{__version__}",
            **(headers or {}),
        }
        if api_key is not None:
            fields[KEY_HEADER] = api_key
        at = f"{path}/{quote(self._model)}"

        def head(method: str) -> bytes:
            return request_head("POST", f"{at}:{method}", host=str(self._origin), fields=fields)

        self._whole_head = head("generateContent")
        self._stream_head = head("streamGenerateContent?alt=sse")
        self._embed_head = head("embedContent")
        self._batch_head = head("batchEmbedContents")

    async def send(self, request: ChatRequest, /) -> Reply:
        unsupported = Unsupported(f"gemini/{self._model.removeprefix('models/')}", drop=self._drop)
        body = wire.encode_request(request, model=self._model, unsupported=unsupported)
        response = await self._post(self._stream_head if request.stream else self._whole_head, body)
        count = request.sampling.n
        decode_whole = partial(wire.decode_whole, choices=count)
        dropped = tuple(unsupported.names)
        if request.stream:
            return await streamed(response, wire.Reading(choices=count), decode_whole, dropped=dropped)
        return await whole(response, decode_whole, dropped=dropped)

    async def embed(self, request: EmbeddingsRequest, /) -> Reply:
        inputs = request.inputs
        batches = [inputs[at : at + MOST_AT_ONCE] for at in range(0, len(inputs), MOST_AT_ONCE)]
        bodies = [wire.encode_embeddings(batch, model=self._model, dimensions=request.dimensions) for batch in batches]
        chunks = []
        for batch, body in zip(batches, bodies, strict=True):
            response = await self._post(self._batch_head if len(batch) > 1 else self._embed_head, body)
            chunks.append(wire.decode_embeddings(await response.body(MAX_ANSWER_BYTES)))
        vectors = tuple(vector for chunk in chunks for vector in chunk.vectors)
        if len(vectors) != len(inputs):
            raise UpstreamGarbled(f"The provider sent {len(vectors)} vectors for {len(inputs)} inputs.")
        told = [chunk.usage for chunk in chunks if chunk.usage is not None]
        usage = Usage(input=sum(each.input for each in told)) if len(told) == len(chunks) else None
        return Reply(whole=Chunk(vectors=vectors, usage=usage))

    def _post(self, head: bytes, body: bytes) -> Awaitable[Response]:
        return post(self._client, self._origin, head, body, decode_error=wire.decode_error, clock=self._clock)
