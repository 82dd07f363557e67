"""Anthropic, and any server that speaks its Messages format."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from undercroft import __version__
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import parse_base_url
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest
from undercroft.llm.unsupported import Unsupported
from undercroft.providers.remote import check, post, streamed, whole
from undercroft.wire import anthropic as wire
from undercroft.wire.anthropic.count import decode_answer
from undercroft.wire.anthropic.failures import decode_error

VERSION: Final = "2023-06-01"
"""The format that is written for callers of other formats."""
_MAX_COUNT_BYTES: Final = 64 * 1024
_HEADS_KEPT: Final = 64
"""Callers choose versions and betas, so there must be an end."""

Headers = tuple[tuple[str, str], ...]


class Anthropic:
    """A ChatProvider and TokenCounter for one model at one address.

    The key goes to that address only: a redirect is not followed but reported. A caller of the same format gets its own
    version and betas, since its bytes are passed on. `drop_unsupported` leaves out what cannot be translated.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        api_key: str | None,
        model: str,
        drop_unsupported: bool = False,
        client: Client,
        clock: Clock,
    ) -> None:
        self.name = name
        self._model = model
        self._drop = drop_unsupported
        self._client = client
        self._clock = clock
        self._origin, path = parse_base_url(base_url)
        self._messages_head = _heads(str(self._origin), f"{path}/messages", api_key)
        self._count_head = _heads(str(self._origin), f"{path}/messages/count_tokens", api_key)
        self._models_head = _heads(str(self._origin), f"{path}/models", api_key, method="GET")
        self._messages_head(())  # a key that cannot stand in a header is found at the start

    async def send(self, request: ChatRequest, /) -> Reply:
        lost = Unsupported(self._model, drop=self._drop)
        body, answer_tool = wire.encode_request(request, model=self._model, lost=lost)
        head = self._messages_head(_headers(request))
        response = await post(self._client, self._origin, head, body, decode_error=decode_error, clock=self._clock)
        decode_whole = partial(wire.decode_whole, answer_tool=answer_tool)
        dropped = tuple(lost.names)
        if request.stream:
            return await streamed(response, wire.Reading(answer_tool=answer_tool), decode_whole, dropped=dropped)
        return await whole(response, decode_whole, dropped=dropped)

    async def count_tokens(self, request: ChatRequest, /) -> int:
        body = wire.encode_count(request, model=self._model)
        head = self._count_head(_headers(request))
        response = await post(self._client, self._origin, head, body, decode_error=decode_error, clock=self._clock)
        return decode_answer(await response.body(_MAX_COUNT_BYTES))

    async def check(self) -> None:
        head = self._models_head(())
        await check(self._client, self._origin, head, decode_error=decode_error, clock=self._clock)


def _headers(request: ChatRequest) -> Headers:
    source = request.source
    return source.headers if source is not None and source.dialect == "anthropic.messages" else ()


def _heads(host: str, path: str, api_key: str | None, *, method: str = "POST") -> Callable[[Headers], bytes]:
    """The head of a request, made once for each set of headers that callers send."""
    fields = {
        "content-type": "application/json",
        # Compressing would hold events back, and no usage could be read from the bytes as they pass.
        "accept-encoding": "identity",
        "user-agent": f"undercroft/{__version__}",
        "anthropic-version": VERSION,
    }
    if api_key is not None:
        fields["x-api-key"] = api_key

    @lru_cache(maxsize=_HEADS_KEPT)
    def head(given: Headers) -> bytes:
        return request_head(method, path, host=host, fields={**fields, **dict(given)})

    return head
