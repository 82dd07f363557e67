"""`POST /v1/moderations`."""

from typing import NoReturn

from undercroft.api.calls import StreamWriter, serve_call
from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.gateway.call import Call
from undercroft.llm.types import Chunk, ModerationRequest
from undercroft.wire.openai import moderations

PATH = "/v1/moderations"


class ModerationsCodec:
    """OpenAI's moderations format; never streamed."""

    endpoint = PATH

    def decode(self, _: Exchange, body: bytes, /) -> ModerationRequest:
        return moderations.decode(body)

    def whole(self, call: Call, chunk: Chunk, /) -> bytes:
        return moderations.whole(chunk, id="modr-" + call.id.removeprefix("req_"), model=call.answered_by)

    def stream(self, call: Call, /) -> NoReturn:
        raise AssertionError("ModerationRequest.stream is False")

    def end(self, call: Call, writer: StreamWriter, /) -> NoReturn:
        raise AssertionError("ModerationRequest.stream is False")


def routes(undercroft: Undercroft) -> list[Route]:
    codec = ModerationsCodec()

    async def moderate(exchange: Exchange) -> None:
        """Judges texts and images."""
        await serve_call(exchange, codec, server=undercroft.settings.server, send=undercroft.gateway.send)

    return [Route("POST", PATH, "ai", moderate, metered=True)]
