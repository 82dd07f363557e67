"""`POST /api/generate`: a prompt in, a text out."""

from undercroft.api.calls import serve_call
from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.gateway.call import Call
from undercroft.llm.types import ChatRequest, Chunk, Usage
from undercroft.wire import generate

PATH = "/api/generate"


class GenerateCodec:
    """Our own smallest format."""

    endpoint = PATH

    def decode(self, exchange: Exchange, body: bytes, /) -> ChatRequest:
        return generate.decode(exchange.query, body)

    def whole(self, call: Call, chunk: Chunk, /) -> bytes:
        return generate.whole(
            chunk, model=call.answered_by, usage=call.trail.usage or Usage(), cost_nano=call.trail.cost_nano
        )

    def stream(self, call: Call, /) -> generate.GenerateStream:
        return generate.GenerateStream(model=call.answered_by)

    def end(self, call: Call, writer: generate.GenerateStream, /) -> bytes:
        return writer.end(call.trail.usage or Usage(), call.trail.cost_nano)


def routes(undercroft: Undercroft) -> list[Route]:
    codec = GenerateCodec()

    async def generate_text(exchange: Exchange) -> None:
        """Answers a prompt, with what it cost."""
        await serve_call(exchange, codec, server=undercroft.settings.server, send=undercroft.gateway.send)

    return [Route("POST", PATH, "ai", generate_text, metered=True)]
