"""`POST /v1/chat/completions`."""

from undercroft.api.calls import serve_call
from undercroft.api.exchange import Exchange
from undercroft.api.openai import stored_chats
from undercroft.api.openai.stored_chats import PATH, Keeping, chat_id
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.gateway.call import Call
from undercroft.llm.types import ChatRequest, Chunk
from undercroft.wire.openai import chat


class ChatCodec:
    """OpenAI's chat format."""

    endpoint = PATH

    def decode(self, _: Exchange, body: bytes, /) -> ChatRequest:
        return chat.decode(body)

    def whole(self, call: Call, chunk: Chunk, /) -> bytes:
        return chat.whole(
            chunk,
            id=chat_id(call),
            created=call.started_us // 1_000_000,
            model=call.answered_by,
            legacy_functions=_request(call).legacy_functions,
        )

    def stream(self, call: Call, /) -> chat.ChatStream:
        request = _request(call)
        return chat.ChatStream(
            id=chat_id(call),
            created=call.started_us // 1_000_000,
            model=call.answered_by,
            include_usage=request.include_usage,
            legacy_functions=request.legacy_functions,
        )

    def end(self, call: Call, writer: chat.ChatStream, /) -> bytes:
        return writer.end(call.trail.usage)


def routes(undercroft: Undercroft) -> list[Route]:
    codec = ChatCodec()
    keeping = Keeping(undercroft.gateway.send, link=undercroft.link, clock=undercroft.clock)

    async def chat_completions(exchange: Exchange) -> None:
        """Continues a conversation, whole or streamed."""
        await serve_call(exchange, codec, server=undercroft.settings.server, send=keeping.send)

    return [Route("POST", PATH, "ai", chat_completions, metered=True), *stored_chats.routes(undercroft)]


def _request(call: Call) -> ChatRequest:
    assert isinstance(call.request, ChatRequest)
    return call.request
