"""What the Responses routes work with: where responses are kept, and what answers them in the background.

Their format is imported where it is used: it is the largest there is, and no start needs it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from undercroft.assembly.beside import beside
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.file_search import FileSearch
from undercroft.assembly.knowledge import Caller
from undercroft.assembly.reloads import UnderWay
from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, Unavailable, UndercroftError
from undercroft.gateway.call import Call, Model
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.llm.types import ChatRequest
from undercroft.llm.unsupported import Unsupported
from undercroft.record import Who
from undercroft.settings.model import Responses as ResponsesSettings
from undercroft.settings.model import Settings
from undercroft.telemetry.trace_context import trace_in

if TYPE_CHECKING:
    from undercroft.responses.background import Background
    from undercroft.responses.shelf import Shelf
    from undercroft.responses.types import Order, Told
    from undercroft.wire.openai import responses as wire

ENDPOINT = "/v1/responses"


class ResponseDesk:
    """Where responses are kept and what answers them in the background, whatever the configuration becomes."""

    def __init__(
        self, settings: ResponsesSettings, *, link: DatabaseLink, ids: Ids, clock: Clock, is_frozen: bool = False
    ) -> None:
        self._settings = settings
        self._is_frozen = is_frozen
        self._link = link
        self._clock = clock
        self._owner = ids.new("owner_")
        self._shelf: Shelf | None = None
        self._background: Background | None = None
        self._is_there = asyncio.Event()
        self._in_force: Responses | None = None

    def answer_with(self, responses: "Responses") -> None:
        """From now on background responses are answered under this configuration."""
        self._in_force = responses

    async def can_keep(self) -> bool:
        """Whether the database is there, as far as is known."""
        await self._opened()
        return self._link.ready and self._shelf is not None

    async def shelf(self) -> "Shelf":
        """Raises Unavailable while the database is away."""
        await self._opened()
        self._link.database()
        if self._shelf is None:
            raise Unavailable("The server is shutting down.", code="interrupted")
        return self._shelf

    async def background(self) -> "Background":
        """Raises Unavailable while the database is away, and InvalidRequest where nothing runs between requests."""
        await self.shelf()
        if self._background is None:
            raise InvalidRequest(
                "This server is a function: it ends with each answer, and has no background to answer in.",
                code="background_unavailable",
                param="background",
                hint="Leave 'background' out.",
            )
        return self._background

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers background responses for as long as the block lasts. A process that is frozen between requests has
        no background: it opens the shelf when somebody wants something of it."""
        if self._is_frozen:
            yield
            return
        async with beside(self._run, opened=self._is_there, close=self._close):
            yield

    def _close(self) -> None:
        self._shelf = None
        self._is_there.set()

    async def _opened(self) -> None:
        if self._is_frozen:
            await self._link.first_look()
            self._shelf = self._shelf or self._new_shelf()
        else:
            await self._is_there.wait()

    def _new_shelf(self) -> "Shelf":
        # Imported here, with SQLAlchemy, once the port has long been answering.
        from undercroft.responses.shelf import Shelf

        return Shelf(self._link, clock=self._clock)

    async def _run(self, stop: asyncio.Event) -> None:
        await self._link.first_look()
        # As the shelf.
        from undercroft.responses.backgrounds.in_process import InProcess

        settings = self._settings
        shelf = self._new_shelf()
        background = InProcess(
            self._link,
            shelf,
            self._answer,
            owner=self._owner,
            at_once=settings.background_at_once,
            queue=settings.background_queue,
            timeout_s=settings.background_timeout_s,
            clock=self._clock,
        )
        async with background.running():
            self._shelf, self._background = shelf, background
            self._is_there.set()
            await stop.wait()

    def _answer(self, order: "Order") -> "AsyncGenerator[Told, None]":
        assert self._in_force is not None, "nothing is accepted before a configuration is in force"
        return self._in_force.answer(order)


class Responses:
    """Responses under one configuration: how long they are kept, what of a request its model can be asked for."""

    def __init__(
        self,
        settings: Settings,
        *,
        desk: ResponseDesk,
        gateway: Gateway,
        search: FileSearch,
        under_way: UnderWay,
        clock: Clock,
    ) -> None:
        self.settings = settings.responses
        self.desk = desk
        self._gateway = gateway
        self._search = search
        self._under_way = under_way
        self._clock = clock
        self._dropping = frozenset(model.name for model in settings.models if model.drop_unsupported)

    def fit(self, request: ChatRequest, who: Who) -> tuple[ChatRequest, tuple[str, ...]]:
        """The request as its model can be asked, and what was left out. Raises ModelNotFound and InvalidRequest.

        Where some deployments speak the format, the provider of each decides for itself; what a release or a stored
        prompt writes anew is asked as a chat.
        """
        from undercroft.wire.openai import responses as wire

        ways = self._gateway.ways(request, who)
        is_rewritten = request.prompt is not None or any(pinned is not None and pinned.rewrites for _, pinned in ways)
        if not is_rewritten and all(any(each.speaks_responses for each in model.deployments) for model, _ in ways):
            return request, ()
        plain, dropped = self._portable(request, ways[0][0].name)
        return (wire.as_chat(plain) if is_rewritten else plain), dropped

    def _portable(self, request: ChatRequest, model: str) -> tuple[ChatRequest, tuple[str, ...]]:
        from undercroft.wire.openai import responses as wire

        unsupported = Unsupported(model, drop=model in self._dropping)
        return wire.portable(request, unsupported), tuple(unsupported.names)

    async def searches(self, asked: "wire.Asked", request: ChatRequest, caller: Caller) -> bool:
        """Whether vector stores are searched here ahead of the answer. Raises NotFound for one that nobody knows."""
        from undercroft.wire.openai import responses as wire

        if not asked.body.tools or wire.asked_search(asked.body) is None:
            return False
        return await self._search.is_ours(asked, caller, model=self._model(request, caller.who))

    async def lead(
        self, asked: "wire.Asked", request: ChatRequest, caller: Caller
    ) -> "tuple[ChatRequest, tuple[str, ...], wire.Retrieved | None]":
        """As `fit`, with what was found in vector stores before the question. Whoever answers does so as in a chat."""
        from undercroft.wire.openai import responses as wire

        model = self._model(request, caller.who)
        led = await self._search.lead(asked, request, caller, model=model)
        plain, dropped = self._portable(led.request, model.name)
        return wire.as_chat(plain), dropped, led.retrieved

    def model_name(self, request: ChatRequest, who: Who) -> str:
        """The public name of the model that will answer; of the stable release's, while a candidate is brought out."""
        return self._model(request, who).name

    def _model(self, request: ChatRequest, who: Who) -> Model:
        return self._gateway.ways(request, who)[0][0]

    def expires_us(self, created_us: int) -> int:
        return created_us + self.settings.keep_days * 86_400_000_000

    async def answer(self, order: "Order") -> "AsyncGenerator[Told, None]":
        """Makes an answer for `responses/background.py`."""
        from undercroft.responses.types import Told
        from undercroft.wire.openai import responses as wire

        queued = msgspec.json.decode(order.queued, type=wire.Response)
        suffix = order.id.removeprefix("resp_")
        changes = {
            "id": order.id,
            "created_at": queued.created_at,
            "background": True,
            "previous_response_id": queued.previous_response_id,
        }
        call: Call | None = None
        writer: wire.ResponseStream | None = None
        retrieved: wire.Retrieved | None = None

        def begin() -> "wire.ResponseStream":
            model = (call.answered_by if call else "") or queued.model
            begun = msgspec.structs.replace(queued, status="in_progress", model=model)
            return wire.ResponseStream(
                begun, suffix=suffix, changes=changes, is_announced=True, first=wire.ANNOUNCED, retrieved=retrieved
            )

        self._under_way.begin()  # a configuration that follows waits for it
        try:
            asked = wire.decode(order.source)
            request, caller = wire.request_of(asked, None), _caller_of(order)
            if await self.searches(asked, request, caller):
                request, dropped, retrieved = await self.lead(asked, request, caller)
            else:
                request, dropped = self.fit(request, order.who)
            call = self._call(order, request)
            reply = await self._gateway.send(call)
            call.trail.dropped += dropped
            async with aclosing(reply.chunks) as chunks:
                async for chunk in chunks:
                    writer = writer or begin()
                    if events := writer.frame(chunk):
                        yield Told(events)
            writer = writer or begin()
            ended = writer.finish(call.trail.usage, completed=self._clock.now_us() // 1_000_000)
            yield Told(writer.end(ended), ended, writer.is_relayed)
        except UndercroftError as error:
            writer = writer or begin()
            yield Told(writer.error(error), writer.failed(error), writer.is_relayed)
        finally:
            self._under_way.end()

    def _call(self, order: "Order", request: ChatRequest) -> Call:
        started = self._clock.monotonic()
        return Call(
            id=order.call_id,
            endpoint=ENDPOINT,
            who=order.who,
            request=request,
            started_us=self._clock.now_us(),
            started=started,
            deadline=started + self.settings.background_timeout_s,
            trace=trace_in(order.trace),
            traceparent=order.trace,
        )


def _caller_of(order: "Order") -> Caller:
    return Caller(order.who, endpoint=ENDPOINT, traceparent=order.trace)
