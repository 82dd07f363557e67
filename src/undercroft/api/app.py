"""The ASGI application: doors, routes, and errors turned into answers, around an assembled undercroft."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from undercroft.access.callers import NOBODY, Caller
from undercroft.access.doors import Bind, Visit, admit, demand
from undercroft.access.roles import Network, Permission, networks_of
from undercroft.api import routes as builtin
from undercroft.api.calls import finish_call, headers_of_refusal
from undercroft.api.cors import admit_origin
from undercroft.api.envelopes import envelope_of
from undercroft.api.exchange import Exchange, Receive, Scope, Send
from undercroft.api.forwarded import client_of, scheme_of
from undercroft.api.own_routes import OwnRoutes
from undercroft.api.reload import OwnReloading, Reloading
from undercroft.api.routing import Route, Router
from undercroft.api.sessions import signed_in
from undercroft.assembly import Installation, Shared, Undercroft, installed
from undercroft.assembly.reloads import Reloads
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.errors import NotFound, Unavailable
from undercroft.gateway.call import Call
from undercroft.settings.model import Settings
from undercroft.settings.sources import Source
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from undercroft.api.fast_path.entry import FastPath
    from undercroft.api.fast_path.going import StartedCall


MANAGED: Final = "/api/v1/{"


def create_app(settings: Settings | None = None, *, routes: Sequence["BaseRoute"] = ()) -> "Application":
    """The application, for any ASGI server or to mount inside a FastAPI app.

    Without `settings` they are read as `undercroft serve` reads them; raises ConfigurationError when they cannot be
    used. `routes` are Starlette or FastAPI routes of your own, behind the same doors as the AI routes. Under a server
    that is not ours nobody knows where it listens: without a master key only this machine is served.
    """
    reloading: Reloading | None = None
    if settings is None:
        source = Source.here(stored=encrypted_store)
        settings, reloading = source.load().settings, OwnReloading(source)
    return Application(settings, bind="unknown", own_routes=routes, reloading=reloading)


class Application:
    """Starts with the server's lifespan, or with the first request where the server has none (mounted applications)."""

    def __init__(
        self,
        settings: Settings,
        *,
        bind: Bind,
        own_routes: Sequence["BaseRoute"] = (),
        shared: Shared | None = None,
        reloading: Reloading | None = None,
        generation: int = 1,
        applied: Callable[[Settings], None] = lambda _: None,
        is_frozen: bool = False,
    ) -> None:
        """`reloading` says where another configuration comes from, `applied` learns of each that is put in force.

        `is_frozen`: nothing runs between requests (`api/frozen.py`).
        """
        self.settings = settings
        self.closing = False
        """Set when the server winds down: readiness is off, and answers ask clients to connect anew."""
        self._bind = bind
        self._shared = shared
        self._own_routes = OwnRoutes(own_routes)
        self._reloading = reloading
        self._generation = generation
        self._applied = applied
        self._is_frozen = is_frozen
        self._stack = AsyncExitStack()
        self._starting: asyncio.Task[Undercroft] | None = None
        self._undercroft: Undercroft | None = None
        self._installation: Installation | None = None
        self._router = Router(())
        self._trusted: tuple[Network, ...] = ()
        self._origins: frozenset[str] = frozenset()
        self._fast_path: FastPath | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._serve(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})

    async def start(self) -> Undercroft:
        """Assembles everything once, however many ask at the same time."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> Undercroft:
        reloading = self._reloading
        self._installation = installation = await self._stack.enter_async_context(
            installed(
                self.settings,
                bind=self._bind,
                shared=self._shared,
                generation=self._generation,
                reload=None if reloading is None else partial(reloading.everywhere, self),
                is_frozen=self._is_frozen,
            )
        )
        self._take(installation.current)
        return installation.current

    def _take(self, undercroft: Undercroft) -> None:
        """From here on requests are served by this one; those that have begun keep the one they began with."""
        self._router = Router(builtin.at_once(self, undercroft), builtin.families(undercroft))
        server = undercroft.settings.server
        self._trusted = networks_of(server.trusted_proxies)
        self._origins = frozenset(server.cors_origins)
        self._undercroft = undercroft
        self._fast_path = None

    @property
    def fast_path(self) -> "FastPath | None":
        """Takes plain calls past the routes, under a server of ours; made with the first request, so that no start pays
        for it."""
        undercroft = self._undercroft
        if self._fast_path is None and undercroft is not None and self._bind != "unknown":
            from undercroft.api.fast_path.entry import FastPath

            leave = partial(self._leave_fast_path, undercroft)
            self._fast_path = FastPath(undercroft, leave=leave, is_closing=lambda: self.closing)
        return self._fast_path

    @property
    def reloads(self) -> Reloads:
        assert self._installation is not None, "asked for once it has started"
        return self._installation.reloads

    async def refresh(self) -> None:
        """SIGHUP: another configuration may be there to be put in force. What is wrong with it is logged."""
        await self.start()
        if self._reloading is not None:
            await self._reloading.here(self)

    async def put_in_force(self, settings: Settings, *, generation: int) -> None:
        """Replaces the configuration at once, for all requests to come. Raises ConfigurationError, with no change."""
        await self.start()
        assert self._installation is not None, "it has started"
        fresh = await self._installation.prepare(settings)
        self._take(fresh.undercroft)
        self._installation.enforce(fresh, generation=generation)
        self.settings = settings
        self._applied(settings)

    async def settle(self) -> None:
        """Makes what was left for the first request that needs it: a server has the time, once its port answers."""
        await asyncio.to_thread(builtin.load)
        self._router.make()

    async def stop(self) -> None:
        """Takes everything down in reverse order; what is spooled is shipped first."""
        self.closing = True
        await self._stack.aclose()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        undercroft = self._undercroft or await self.start()
        clock = undercroft.clock
        exchange = Exchange(
            scope,
            receive,
            send,
            id=undercroft.ids.new("req_"),
            started=clock.monotonic(),
            started_us=clock.now_us(),
            closing=self.closing,
        )
        exchange.max_json_depth = undercroft.settings.server.limits.max_json_depth
        route: Route | None = None
        undercroft.under_way.begin()
        try:
            if self._trusted:
                self._look_behind_proxies(exchange)
            if self._origins and admit_origin(exchange, self._origins):
                await exchange.respond(b"", status=204)
                return
            try:
                route, exchange.path_values = self._router.find(exchange.method, exchange.path)
            except NotFound:
                if not self._own_routes:
                    raise
                exchange.caller = await self._admit(undercroft, exchange, "ai", exchange.path)
                await self._own_routes.serve(exchange, undercroft)
                return
            exchange.caller = await self._admit(undercroft, exchange, route.permission, route.path)
            await route.handle(exchange)
        except Exception as error:  # noqa: BLE001 - the outermost edge of a request
            await self._fail(undercroft, exchange, route, error)
        finally:
            undercroft.under_way.end()

    def _leave_fast_path(self, undercroft: Undercroft, started: "StartedCall") -> None:
        started.cycle.start(partial(self._go_on, undercroft, started.call))

    async def _go_on(self, undercroft: Undercroft, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a call that the fast path has begun, and counted as under way."""
        from undercroft.api.fast_path.formats import BY_PATH

        exchange = Exchange(
            scope, receive, send, id=call.id, started=call.started, started_us=call.started_us, closing=False
        )
        try:
            server, gateway = undercroft.settings.server, undercroft.gateway
            await finish_call(exchange, BY_PATH[call.endpoint].codec, call, server=server, send=gateway.send)
        except Exception as error:  # noqa: BLE001 - the outermost edge of a request
            await self._fail(undercroft, exchange, None, error)
        finally:
            undercroft.under_way.end()

    def _look_behind_proxies(self, exchange: Exchange) -> None:
        peer = exchange.peer
        exchange.peer = client_of(peer, exchange.header(b"x-forwarded-for"), self._trusted)
        exchange.scheme = scheme_of(peer, exchange.scheme, exchange.header(b"x-forwarded-proto"), self._trusted)

    async def _admit(self, undercroft: Undercroft, exchange: Exchange, permission: Permission, route: str) -> Caller:
        if permission == "open":
            return NOBODY
        if not undercroft.keys.known:
            await undercroft.keys_known()
        undercroft.link.demand_migrated()
        if permission not in ("ai", "scrape") and exchange.has_any((b"cookie",)):
            caller = await signed_in(undercroft.access, exchange, permission)
            if caller is not None:
                demand(caller, permission)
                return caller
        visit = Visit(
            host=exchange.header(b"host"),
            peer=exchange.peer,
            credential=exchange.credential,
            # The management routes are looked at one by one where they are told apart.
            route="" if route.startswith(MANAGED) else route,
            origin=exchange.header(b"origin"),
        )
        return admit(undercroft.door, visit, permission, undercroft.keys, now_us=exchange.started_us)

    async def _fail(self, undercroft: Undercroft, exchange: Exchange, route: Route | None, error: Exception) -> None:
        envelope = envelope_of(exchange)
        status, headers, body = envelope(error, request_id=exchange.id)
        if status == 500:
            get_logger("undercroft.api").error("request_failed", request_id=exchange.id, exc_info=error)
        if route is not None and route.metered and not exchange.booked:
            try:
                undercroft.gateway.meter.refused(
                    call_id=exchange.id,
                    started_us=exchange.started_us,
                    started=exchange.started,
                    who=exchange.caller.who,
                    endpoint=route.path,
                    error=error,
                )
            except Unavailable as unbooked:
                status, headers, body = envelope(unbooked, request_id=exchange.id)
        if not exchange.answered:
            if exchange.trail is not None:
                headers = [*headers, *headers_of_refusal(exchange.trail, error)]
            await exchange.respond(body, status=status, headers=headers)
        elif exchange.error_frame is not None:
            await exchange.finish(exchange.error_frame(error))
        # else: the server cuts the connection, which no client takes for a whole answer
