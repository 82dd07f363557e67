"""`POST /v1/embeddings`."""

from typing import NoReturn

from undercroft.api.calls import StreamWriter, serve_call
from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.gateway.call import Call
from undercroft.llm.types import Chunk, EmbeddingsRequest
from undercroft.wire.openai import embeddings

PATH = "/v1/embeddings"


class EmbeddingsCodec:
    """OpenAI's embeddings format; never streamed."""

    endpoint = PATH

    def decode(self, _: Exchange, body: bytes, /) -> EmbeddingsRequest:
        return embeddings.decode(body)

    def whole(self, call: Call, chunk: Chunk, /) -> bytes:
        assert isinstance(call.request, EmbeddingsRequest)
        return embeddings.whole(chunk, model=call.answered_by, base64=call.request.base64)

    def stream(self, call: Call, /) -> NoReturn:
        raise AssertionError("EmbeddingsRequest.stream is False")

    def end(self, call: Call, writer: StreamWriter, /) -> NoReturn:
        raise AssertionError("EmbeddingsRequest.stream is False")


def routes(undercroft: Undercroft) -> list[Route]:
    codec = EmbeddingsCodec()

    async def embed(exchange: Exchange) -> None:
        """Turns texts into vectors."""
        await serve_call(exchange, codec, server=undercroft.settings.server, send=undercroft.gateway.send)

    return [Route("POST", PATH, "ai", embed, metered=True)]
