"""`POST /v1/messages`."""

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from undercroft.api.calls import serve_call
from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.errors import InvalidRequest
from undercroft.gateway.call import Call
from undercroft.llm.tokens import estimate_conversation
from undercroft.llm.types import ChatRequest, Chunk
from undercroft.wire import anthropic

PATH = "/v1/messages"

_PASSED: Final = ("anthropic-version", "anthropic-beta")
_VALUE = re.compile(r"[A-Za-z0-9._, -]{1,2000}")


class MessagesCodec:
    """Anthropic's format."""

    endpoint = PATH

    def decode(self, exchange: Exchange, body: bytes, /) -> ChatRequest:
        return anthropic.decode(body, headers=passed_headers(exchange))

    def whole(self, call: Call, chunk: Chunk, /) -> bytes:
        return anthropic.whole(chunk, id=anthropic.message_id(call.id), model=call.answered_by)

    def stream(self, call: Call, /) -> anthropic.MessageStream:
        assert isinstance(call.request, ChatRequest)
        return anthropic.MessageStream(
            id=anthropic.message_id(call.id),
            request_id=call.id,
            model=call.answered_by,
            estimate=partial(estimate_conversation, call.request),
        )

    def end(self, call: Call, writer: anthropic.MessageStream, /) -> bytes:
        return writer.end(call.trail.usage)


def routes(undercroft: Undercroft) -> list[Route]:
    codec = MessagesCodec()

    async def messages(exchange: Exchange) -> None:
        """Continues a conversation, whole or streamed."""
        await serve_call(exchange, codec, server=undercroft.settings.server, send=undercroft.gateway.send)

    return [Route("POST", PATH, "ai", messages, metered=True)]


def passed_headers(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """What says how the body is to be read: any version and any betas, if they can stand in a header of ours."""
    return passed_of(exchange.header)


def passed_of(header: Callable[[bytes], str]) -> tuple[tuple[str, str], ...]:
    """The same, by a function that looks a header up. Raises InvalidRequest."""
    passed = []
    for name in _PASSED:
        value = header(name.encode())
        if value and not _VALUE.fullmatch(value):
            raise InvalidRequest(
                f"The header '{name}' holds something that is no version or name.", code="invalid_value"
            )
        if value:
            passed.append((name, value))
    return tuple(passed)
