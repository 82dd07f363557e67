"""`POST /v1/completions`."""

from undercroft.api.calls import serve_call
from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.gateway.call import Call
from undercroft.llm.types import Chunk, CompletionRequest
from undercroft.wire.openai import completions

PATH = "/v1/completions"


class CompletionCodec:
    """OpenAI's older text format."""

    endpoint = PATH

    def decode(self, _: Exchange, body: bytes, /) -> CompletionRequest:
        return completions.decode(body)

    def whole(self, call: Call, chunk: Chunk, /) -> bytes:
        return completions.whole(
            chunk, id=completion_id(call), created=call.started_us // 1_000_000, model=call.answered_by
        )

    def stream(self, call: Call, /) -> completions.CompletionStream:
        assert isinstance(call.request, CompletionRequest)
        return completions.CompletionStream(
            id=completion_id(call),
            created=call.started_us // 1_000_000,
            model=call.answered_by,
            include_usage=call.request.include_usage,
        )

    def end(self, call: Call, writer: completions.CompletionStream, /) -> bytes:
        return writer.end(call.trail.usage)


def routes(undercroft: Undercroft) -> list[Route]:
    codec = CompletionCodec()

    async def text_completions(exchange: Exchange) -> None:
        """Continues plain text, whole or streamed."""
        await serve_call(exchange, codec, server=undercroft.settings.server, send=undercroft.gateway.send)

    return [Route("POST", PATH, "ai", text_completions, metered=True)]


def completion_id(call: Call) -> str:
    """The request's id in the form OpenAI's answers have."""
    return "cmpl-" + call.id.removeprefix("req_")
