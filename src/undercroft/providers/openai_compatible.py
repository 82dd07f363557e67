"""Any server that speaks OpenAI's format: OpenAI itself, vLLM, Ollama, LM Studio and many more."""

from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from undercroft import __version__
from undercroft.clock import Clock
from undercroft.egress.client import Client, Passage
from undercroft.egress.http1 import below, request_head
from undercroft.egress.origin import parse_base_url
from undercroft.egress.response import Response
from undercroft.errors import UpstreamGarbled
from undercroft.llm.reply import Reply
from undercroft.llm.types import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    Dialect,
    EmbeddingsRequest,
    ModerationRequest,
    Source,
)
from undercroft.llm.unsupported import Unsupported
from undercroft.providers.remote import MAX_ANSWER_BYTES, Decode, check, limits_of, post, streamed, whole
from undercroft.settings.presets import Quirks
from undercroft.wire.openai import chat, completions, embeddings, moderations
from undercroft.wire.openai.failures import decode_error
from undercroft.wire.openai.quirks import Adaptation
from undercroft.wire.openai.upstream import rewritten
from undercroft.wire.sse import DONE


@dataclass(frozen=True, slots=True)
class Manners:
    """How one deployment wants to be asked, where that is not OpenAI's own way."""

    quirks: Quirks = field(default_factory=Quirks)
    drop_unsupported: bool = False
    """Leave out what the service cannot do instead of refusing the call."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent along with every call."""
    key_header: str | None = None
    """Carries the key as it is; None: `authorization`, as a bearer's."""
    query: str = ""
    """Follows every path, `?` included."""


PLAIN: Final = Manners()


class OpenAICompatible:
    """A provider of all kinds of calls for one model at one address.

    The key goes to that address only: a redirect is not followed but reported.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        api_key: str | None,
        model: str,
        client: Client,
        clock: Clock,
        manners: Manners = PLAIN,
    ) -> None:
        self.name = name
        self._target = f"{name}/{model}"
        self._quirks = manners.quirks
        self._is_plain = manners.quirks.are_none
        self._drop_unsupported = manners.drop_unsupported
        self._asks_usage = manners.quirks.stream_options
        self._model = model
        self._client = client
        self._clock = clock
        self._origin, path = parse_base_url(base_url)
        fields = {
            "content-type": "application/json",
            # Compressing would hold events back, and no usage could be read from the bytes as they pass.
            "accept-encoding": "identity",
            "user-agent": f"undercroft/{__version__}",
            **manners.headers,
        }
        if api_key is not None and manners.key_header is not None:
            fields[manners.key_header] = api_key
        elif api_key is not None:
            fields["authorization"] = f"Bearer {api_key}"

        def head(route: str, method: str = "POST") -> bytes:
            return request_head(method, f"{path}/{route}{manners.query}", host=str(self._origin), fields=fields)

        self._head = head
        self._chat_head = head("chat/completions")
        self._completions_head = head("completions")
        self._embeddings_head = head("embeddings")
        self._models_head = head("models", "GET")
        self._moderations_head = head("moderations")

    def is_ready(self) -> bool:
        """Whether `begin` can send at once."""
        return self._client.has_idle(self._origin)

    def begin(self, request: ChatRequest, traceparent: str, /) -> tuple[Response, tuple[str, ...]]:
        """Sends what `send` would send, at once, and leaves the answer to whoever calls; `go_on` waits for it."""
        fit = self._fit(request.source, "openai.chat")
        body = chat.encode_request(request, model=self._model, ask_usage=self._asks_usage, adaptation=fit)
        head = below(self._chat_head, traceparent) if traceparent else self._chat_head
        return self._client.begin(self._origin, head, body), () if fit is None else fit.dropped

    def passage(self) -> Passage | None:
        """The way of chat requests that may pass as they came under this provider's name for the model (`renamed`)."""
        return self._client.passage(self._origin, self._chat_head) if self._is_plain else None

    def renamed(self, body: bytes, model: str, /) -> bytes:
        """A request for a whole answer in OpenAI's format that names a model: under this provider's own name for it."""
        return body if model == self._model else rewritten(body, model=self._model, ask_usage=False)

    def reading(self, request: ChatRequest, /) -> "ChoicesReading":
        """What makes chunks of the events of a stream that was begun."""
        return ChoicesReading(chat.ChatPieces().decode, choices=request.sampling.n)

    def decode_whole(self, body: bytes, /) -> Chunk:
        """The answer that was begun, of its body. Raises UpstreamError kinds."""
        return chat.decode_whole(body)

    def limits_of(self, response: Response, /) -> tuple[tuple[bytes, bytes], ...]:
        """The service's rate limits, as `Reply.limits` has them."""
        return limits_of(response)

    def send(self, request: ChatRequest, /) -> Coroutine[Any, Any, Reply]:
        return self.go_on(request, None)

    async def go_on(self, request: ChatRequest, begun: Response | None, /) -> Reply:
        """The rest of `send` after `begin`; with nothing begun, all of it."""
        fit = self._fit(request.source, "openai.chat")
        body = chat.encode_request(request, model=self._model, ask_usage=self._asks_usage, adaptation=fit)
        response = await self._post(self._chat_head, body, begun)
        dropped = () if fit is None else fit.dropped
        if request.stream:
            return await streamed(response, self.reading(request), chat.decode_whole, dropped=dropped)
        return await whole(response, chat.decode_whole, dropped=dropped)

    async def complete(self, request: CompletionRequest, /) -> Reply:
        fit = self._fit(request.source, "openai.completions")
        body = completions.encode_request(request, model=self._model, ask_usage=self._asks_usage, adaptation=fit)
        response = await self._post(self._completions_head, body)
        dropped = () if fit is None else fit.dropped
        if request.stream:
            count = request.sampling.n * len(request.prompts)
            reading = ChoicesReading(completions.decode_chunk, choices=count)
            return await streamed(response, reading, completions.decode_whole, dropped=dropped)
        return await whole(response, completions.decode_whole, dropped=dropped)

    async def embed(self, request: EmbeddingsRequest, /) -> Reply:
        fit = self._fit(request.source, "openai.embeddings")
        body = embeddings.encode_request(request, model=self._model, adaptation=fit)
        response = await self._post(self._embeddings_head, body)
        chunk = embeddings.decode_whole(await response.body(MAX_ANSWER_BYTES), base64=request.base64)
        if len(chunk.vectors) != len(request.inputs):
            raise UpstreamGarbled(f"The provider sent {len(chunk.vectors)} vectors for {len(request.inputs)} inputs.")
        return Reply(whole=chunk, dropped=() if fit is None else fit.dropped, limits=limits_of(response))

    async def moderate(self, request: ModerationRequest, /) -> Reply:
        response = await self._post(self._moderations_head, moderations.encode_request(request, model=self._model))
        chunk = moderations.decode_whole(await response.body(MAX_ANSWER_BYTES))
        if len(chunk.verdicts) != len(request.inputs):
            raise UpstreamGarbled(f"The provider sent {len(chunk.verdicts)} verdicts for {len(request.inputs)} inputs.")
        return Reply(whole=chunk, limits=limits_of(response))

    async def check(self) -> None:
        await check(self._client, self._origin, self._models_head, decode_error=decode_error, clock=self._clock)

    def _fit(self, source: Source | None, dialect: Dialect) -> Adaptation | None:
        """None where the caller's own bytes will do."""
        if self._is_plain and source is not None and source.dialect == dialect:
            return None
        return Adaptation(self._quirks, Unsupported(self._target, drop=self._drop_unsupported))

    def _post(self, head: bytes, body: bytes, begun: Response | None = None) -> Awaitable[Response]:
        return post(self._client, self._origin, head, body, decode_error=decode_error, clock=self._clock, begun=begun)


class ChoicesReading:
    """One stream's events, and which of its choices have ended."""

    __slots__ = ("_choices", "_decode", "_finished", "_seen")

    has_begun = True
    """The first event already is the model's."""

    def __init__(self, decode: Decode, *, choices: int) -> None:
        self._decode = decode
        self._choices = choices
        self._seen: set[int] = set()
        self._finished: set[int] = set()

    @property
    def is_complete(self) -> bool:
        """Without `[DONE]` the stream may stop only when every choice asked for has ended."""
        return len(self._finished) >= self._choices and self._seen == self._finished

    def read(self, event: bytes) -> Chunk | None:
        if event == DONE:
            # Every choice that began must have ended; a server that does not know `n` begins fewer than asked for.
            if not self._seen or self._seen != self._finished:
                raise UpstreamGarbled("The provider ended its stream before its answer was complete.")
            return None
        chunk = self._decode(event)
        for choice in chunk.choices:
            self._seen.add(choice.index)
            if choice.finish_reason is not None:
                self._finished.add(choice.index)
        return chunk
