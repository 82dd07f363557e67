"""`python -m undercroft.api.model_process`: the bundled models in a process of their own, shared by all workers.

Speaks the OpenAI routes over a Unix socket that only this user may open. Nothing is metered here: the workers do that.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec

from undercroft.api.calls import Codec, Writer, serve_call
from undercroft.api.control import State
from undercroft.api.exchange import Exchange, Receive, Scope, Send
from undercroft.api.openai.chat import ChatCodec
from undercroft.api.openai.completions import CompletionCodec
from undercroft.api.openai.embeddings import EmbeddingsCodec
from undercroft.api.reload import follow
from undercroft.api.routing import Route, Router
from undercroft.assembly.bundled import LOCAL, LOCAL_EMBEDDING, OwnModels, uses
from undercroft.clock import Clock, SystemClock
from undercroft.gateway.call import Call, Deployment, Trail
from undercroft.gateway.stages.meter import note
from undercroft.ids import Ids
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk
from undercroft.settings.model import Settings
from undercroft.settings.transfer import unpack
from undercroft.wire.errors import envelope


class ModelHost:
    """The ASGI application."""

    closing = False
    fast_path = None

    def __init__(self, settings: Settings, *, control: Path, clock: Clock) -> None:
        self._settings = settings
        self._control = control
        self._clock = clock
        self._ids = Ids(clock)
        self._models = OwnModels(settings, ids=self._ids)
        self._router = Router(
            [
                Route("GET", "/health", "open", self._health),
                self._route(ChatCodec(), LOCAL, self._models.chat),
                self._route(CompletionCodec(), LOCAL, self._models.chat),
                self._route(EmbeddingsCodec(), LOCAL_EMBEDDING, self._models.embedding),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def start(self) -> None:
        """Begins to load what will be asked for."""
        nothing_else = not self._settings.models and not self._settings.provider_keys
        self._models.start(
            chat=nothing_else or uses(self._settings, "local"),
            embedding=uses(self._settings, "local_embedding") or self._settings.cache.semantic,
        )

    async def settle(self) -> None:
        """Nothing was put off."""

    async def refresh(self) -> None:
        """Another configuration may want a model that is not loaded yet."""

        async def apply(state: State) -> None:
            self._settings = unpack(bytes(state.settings))
            await self.start()

        await follow(self._control, apply)

    async def stop(self) -> None:
        """Ends what is being generated and lets go of the models."""
        await self._models.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(
            scope,
            receive,
            send,
            id=self._ids.new("req_"),
            started=self._clock.monotonic(),
            started_us=self._clock.now_us(),
            closing=False,
        )
        try:
            route, _ = self._router.find(exchange.method, exchange.path)
            await route.handle(exchange)
        except Exception as error:  # noqa: BLE001 - the outermost edge of a request
            if not exchange.answered:
                status, headers, body = envelope(error, request_id=exchange.id)
                await exchange.respond(body, status=status, headers=headers)
            elif exchange.error_frame is not None:
                await exchange.finish(exchange.error_frame(error))

    async def _health(self, exchange: Exchange) -> None:
        await exchange.respond(msgspec.json.encode(self._models.states()))

    def _route(self, codec: Codec[Writer], name: str, model: object) -> Route:
        deployment = Deployment(id=name, provider=LOCAL, upstream_model=name, client=model)

        async def answer(call: Call) -> Reply:
            reply = await deployment.ask(call.request)
            return Reply(_noted(call.trail, reply.chunks))

        async def handle(exchange: Exchange) -> None:
            await serve_call(exchange, codec, server=self._settings.server, send=answer)

        return Route("POST", codec.endpoint.removeprefix("/v1"), "open", handle)


async def _noted(trail: Trail, chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            note(trail, chunk)
            yield chunk


if __name__ == "__main__":
    from undercroft.api.child import Given, run_child

    def make(given: Given) -> ModelHost:
        return ModelHost(given.settings, control=given.shared.control, clock=SystemClock())

    sys.exit(run_child(make))
