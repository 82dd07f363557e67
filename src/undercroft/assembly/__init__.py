"""The only place that picks implementations: builds everything, and takes it down in reverse order."""

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from undercroft.access.doors import Bind, Door
from undercroft.access.keys import KeyRing
from undercroft.assembly.access import AccessDesk, door_of
from undercroft.assembly.batches import BatchOffice
from undercroft.assembly.budget_events import BudgetTeller
from undercroft.assembly.bundled import LOCAL, BundledModels, OwnModels, SharedModels
from undercroft.assembly.cache import Answers
from undercroft.assembly.contents import ContentDesk
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.events import EventDesk
from undercroft.assembly.file_search import FileSearch
from undercroft.assembly.files import FileOffice
from undercroft.assembly.guards import Told, guard_of
from undercroft.assembly.health import Health
from undercroft.assembly.jobs import JobOffice, limits_of
from undercroft.assembly.knowledge import KnowledgeOffice
from undercroft.assembly.limits import Limiter, rules_of
from undercroft.assembly.models import ModelBuilder
from undercroft.assembly.rates import BookedRates
from undercroft.assembly.recorder import FanOut, Keeper
from undercroft.assembly.release_stages import judge_of, stages_of_releases
from undercroft.assembly.releases import ReleaseOffice
from undercroft.assembly.reloads import Reloads, UnderWay, nothing_to_read
from undercroft.assembly.responses import ResponseDesk, Responses
from undercroft.assembly.retention import retaining
from undercroft.assembly.shipping import keeper, shipping
from undercroft.assembly.telemetry import Telemetry
from undercroft.assembly.upstreams import UpstreamMetrics, checking, refreshing
from undercroft.assembly.vectors import Vectors
from undercroft.clock import Clock, SystemClock
from undercroft.egress.client import Client
from undercroft.gateway.gateway import Gateway
from undercroft.gateway.stages.allow import Allow
from undercroft.gateway.stages.sample import Sample
from undercroft.ids import Ids
from undercroft.ledger.limit_book import LimitBook
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.prices import PriceBook
from undercroft.settings.model import Settings
from undercroft.telemetry import monitor
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.metrics import Metrics

Reload = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, eq=False)
class Undercroft:
    """An assembled installation: what the routes and the command line work with."""

    settings: Settings
    clock: Clock
    ids: Ids
    door: Door
    keys: KeyRing
    access: AccessDesk
    gateway: Gateway
    responses: Responses
    jobs: JobOffice
    events: EventDesk
    files: FileOffice
    batches: BatchOffice
    releases: ReleaseOffice
    vectors: Vectors
    knowledge: KnowledgeOffice
    answers: Answers
    contents: ContentDesk
    metrics: Metrics
    telemetry: Telemetry
    limits: LimitBook
    link: DatabaseLink
    bundled: BundledModels
    keeper: Keeper
    recorder: FanOut
    client: Client
    """Its connections to providers."""
    under_way: UnderWay
    reloads: Reloads
    reload: Reload
    """Reads the configuration again and puts it in force. Raises ConfigurationRefused and Conflict."""

    async def keys_known(self) -> None:
        """Waits for the first look at the database: until then nobody can say whether keys exist."""
        await self.link.first_look()

    @property
    def database_label(self) -> str:
        return "PostgreSQL" if self.settings.database.is_postgresql else "SQLite, in the data directory"

    def scrape(self, accept: str) -> tuple[str, bytes]:
        """All series, those of calls that have just ended included: content type and text."""
        self.recorder.tell()
        return self.metrics.render(accept, foreign=monitor.registered)

    def health(self) -> Health:
        """What is up and what is not, at this moment; asks nobody, only reads what is known."""
        checks = {"database": "ok"} | {self.keeper.place: self.keeper.problem or "ok"}
        if self.link.problem:
            checks["database"] = self.link.problem
        checks |= {**self.access.states(), **self.bundled.states()}
        refusal = self.reloads.refusal
        if refusal is not None:  # why is for the operator alone: /health is open to everybody
            checks["configuration"] = "another one was refused; GET /api/v1/config says why"
        failing = [part for part in ("database", "disk") if checks.get(part, "ok") not in ("ok", "opening")]
        states = self.bundled.states().values()
        return Health(
            checks=checks,
            failing=tuple(failing),
            loading="loading" in states or self.link.problem == "opening",
            degraded=bool(refusal or self.access.problem) or any(state not in ("ok", "loading") for state in states),
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """What the workers of one server have in common."""

    metrics: Path
    """Folder in which each keeps its series; a scrape of any adds all up."""
    models: Path
    """Socket of the process that holds the bundled models."""
    control: Path
    """Socket on which the supervisor hands out the configuration."""


@contextlib.asynccontextmanager
async def assemble(
    settings: Settings,
    *,
    bind: Bind = "loopback",
    clock: Clock | None = None,
    shared: Shared | None = None,
    log_calls: bool = True,
) -> AsyncIterator[Undercroft]:
    """Everything, running, for as long as the block lasts. Raises ConfigurationError and Unavailable.

    The database is opened beside it: `Undercroft.link` says when it is there.
    """
    installing = installed(settings, bind=bind, clock=clock, shared=shared, log_calls=log_calls)
    async with installing as installation:
        yield installation.current


@contextlib.asynccontextmanager
async def installed(
    settings: Settings,
    *,
    bind: Bind = "loopback",
    clock: Clock | None = None,
    shared: Shared | None = None,
    log_calls: bool = True,
    generation: int = 1,
    reload: Reload | None = None,
    is_frozen: bool = False,
) -> AsyncIterator["Installation"]:
    """As `assemble`, with a configuration that can be replaced. `reload` is what management calls for that.

    `is_frozen` promises nothing between requests, as hosts of functions do: then nothing runs by itself, and whoever
    passes requests on calls `DatabaseLink.refresh` before each and `FanOut.durable` before each answer ends.
    """
    clock = clock or SystemClock()
    ids = Ids(clock)
    async with contextlib.AsyncExitStack() as stack:
        keys = KeyRing()
        limits = LimitBook()
        access = AccessDesk(settings, clock=clock)
        link = DatabaseLink(settings, keys=keys, limits=limits, clock=clock, vault=access.vault)
        access.use(link)
        kept = keeper(settings, link, ids=ids, clock=clock)
        stack.push_async_callback(kept.close)
        bundled: BundledModels
        if shared is None:
            bundled = OwnModels(settings, ids=ids)
        else:
            client = Client(limits=settings.egress, clock=clock)
            stack.push_async_callback(client.close)
            bundled = SharedModels(settings, socket=shared.models, ids=ids, client=client, clock=clock)
        stack.push_async_callback(bundled.close)
        prices = PriceBook()
        telemetry = Telemetry(
            settings,
            metrics_folder=shared.metrics if shared else None,
            log_calls=log_calls,
            is_frozen=is_frozen,
            clock=clock,
        )
        stack.callback(telemetry.close)
        telemetry.open()
        metrics = telemetry.metrics
        if shared is not None:
            await stack.enter_async_context(refreshing(metrics, clock=clock))
        recorder = FanOut(kept, telemetry.listeners)
        stack.callback(recorder.tell)
        events = EventDesk(settings, link=link, ids=ids, clock=clock, is_frozen=is_frozen)
        releases = ReleaseOffice(settings.releases, link=link, events=events, ids=ids, metrics=metrics, clock=clock)
        await stack.enter_async_context(link.running(is_frozen=is_frozen))
        await stack.enter_async_context(telemetry.watching(link))
        stack.callback(recorder.tell)  # the last traces are kept while the database is still there
        vectors = Vectors(settings, metrics=metrics, tracing=telemetry.tracing, clock=clock)
        stack.push_async_callback(vectors.close)
        answers = Answers(settings, link=link, embedder=bundled.embedding, clock=clock)
        stack.push_async_callback(answers.close)
        contents = ContentDesk(settings.ledger, link=link, clock=clock, is_frozen=is_frozen)
        await stack.enter_async_context(contents.running())
        redis_url = settings.redis.url.get_secret_value() if settings.redis.url else None
        watcher = BudgetTeller(events.tell_once)
        limiter = Limiter(limits, link=link, owner=kept.name, watcher=watcher, clock=clock, redis_url=redis_url)
        await stack.enter_async_context(limiter.running(is_frozen=is_frozen))
        opened = OpenedPrices(prices, settings.models)
        await stack.enter_async_context(
            shipping(link, kept, settings, prices=opened, lag=telemetry.lag, clock=clock, is_frozen=is_frozen)
        )
        files = FileOffice(settings, link=link, ids=ids, clock=clock)
        jobs = JobOffice(
            settings, link=link, events=events, book=releases.book, ids=ids, telemetry=telemetry, clock=clock
        )
        knowledge = KnowledgeOffice(
            settings,
            link=link,
            vectors=vectors,
            files=files,
            jobs=jobs,
            limits=limits_of(settings.jobs),
            ids=ids,
            clock=clock,
        )
        batches = BatchOffice(settings, link=link, files=files, jobs=jobs, events=events, ids=ids, clock=clock)
        lasting = Lasting(
            bind=bind,
            clock=clock,
            ids=ids,
            keeper=kept,
            bundled=bundled,
            prices=prices,
            telemetry=telemetry,
            upstreams=UpstreamMetrics(metrics),
            recorder=recorder,
            keys=keys,
            access=access,
            limiter=limiter,
            link=link,
            responses=ResponseDesk(settings.responses, link=link, ids=ids, clock=clock, is_frozen=is_frozen),
            jobs=jobs,
            events=events,
            files=files,
            batches=batches,
            releases=releases,
            vectors=vectors,
            knowledge=knowledge,
            answers=answers,
            contents=contents,
            opened=opened,
            reloads=Reloads(generation=generation, metrics=metrics, clock=clock),
            reload=reload or nothing_to_read,
            is_frozen=is_frozen,
        )
        installation = Installation(lasting, await configured(lasting, settings))
        stack.push_async_callback(installation.close)
        await stack.enter_async_context(lasting.responses.running())
        await stack.enter_async_context(lasting.events.running())
        await stack.enter_async_context(lasting.files.running(is_frozen=is_frozen))
        await stack.enter_async_context(lasting.knowledge.running(is_frozen=is_frozen))
        await stack.enter_async_context(lasting.jobs.running(is_frozen=is_frozen))
        await stack.enter_async_context(lasting.batches.running(is_frozen=is_frozen))
        await stack.enter_async_context(releases.running(is_frozen=is_frozen))
        await stack.enter_async_context(retaining(settings.retention, link, ids=ids, clock=clock, is_frozen=is_frozen))
        yield installation


@dataclass(frozen=True, slots=True)
class Lasting:
    """What lives as long as the process, whatever the configuration becomes."""

    bind: Bind
    clock: Clock
    ids: Ids
    keeper: Keeper
    bundled: BundledModels
    prices: PriceBook
    telemetry: Telemetry
    upstreams: UpstreamMetrics
    recorder: FanOut
    keys: KeyRing
    access: AccessDesk
    limiter: Limiter
    link: DatabaseLink
    responses: ResponseDesk
    jobs: JobOffice
    events: EventDesk
    files: FileOffice
    batches: BatchOffice
    releases: ReleaseOffice
    vectors: Vectors
    knowledge: KnowledgeOffice
    answers: Answers
    contents: ContentDesk
    opened: OpenedPrices
    reloads: Reloads
    reload: Reload
    is_frozen: bool


async def configured(lasting: Lasting, settings: Settings) -> "Configured":
    """What is made from the configuration, around what lasts. Raises ConfigurationError, and has then left nothing."""
    clock = lasting.clock
    rng = random.Random()  # noqa: S311 - spreads load and jitters waits
    async with contextlib.AsyncExitStack() as stack:
        client = Client(limits=settings.egress, clock=clock)
        stack.push_async_callback(client.close, OUTLASTED)
        catalogue = ModelBuilder(
            settings,
            bundled=lasting.bundled,
            client=client,
            prices=lasting.prices,
            clock=clock,
            rng=rng,
            on_change=lasting.events.upstream_changed,
            stored=lasting.access.vault.text,
        ).catalogue()
        if not lasting.is_frozen:
            await stack.enter_async_context(checking(settings, catalogue, clock=clock, rng=rng))
        limits = settings.limits
        estimate = limits.estimate if limits.unknown_price == "estimate" else None
        told = Told(settings, lasting.telemetry.metrics)
        guard = guard_of(settings, told)
        judge = judge_of(settings, lasting.releases, lasting.vectors, is_frozen=lasting.is_frozen)
        rates = BookedRates(lasting.prices, models=settings.models, estimate=estimate)
        gateway = Gateway(
            catalogue=catalogue,
            recorder=lasting.recorder,
            rates=rates,
            gauge=lasting.telemetry.metrics,
            clock=clock,
            rng=rng,
            tracing=lasting.telemetry.tracing,
            guard=guard,
            allow=Allow(
                lasting.limiter.book,
                lasting.limiter,
                catalogue=catalogue,
                rates=rates,
                may_call=lasting.keys.may_call,
                usual_output=limits.output_tokens,
                unknown_price=limits.unknown_price,
            ),
            cache=lasting.answers.stage(rates),
            releases=lasting.releases.book,
            sample=None if judge is None else Sample(judge.wants, judge.take),
            of_releases=stages_of_releases(settings, guard, lasting.knowledge, told=told, clock=clock),
            ids=lasting.ids,
            content=lasting.contents.stage(),
            tag_names=settings.ledger.tags,
        )
        stack.push_async_callback(gateway.mirror.close)
        if judge is not None:
            await stack.enter_async_context(judge.running(gateway))
        under_way = UnderWay()
        undercroft = Undercroft(
            settings=settings,
            clock=clock,
            ids=lasting.ids,
            door=door_of(settings, lasting.bind),
            keys=lasting.keys,
            access=lasting.access,
            gateway=gateway,
            responses=Responses(
                settings,
                desk=lasting.responses,
                gateway=gateway,
                search=FileSearch(lasting.knowledge, tracing=lasting.telemetry.tracing),
                under_way=under_way,
                clock=clock,
            ),
            jobs=lasting.jobs,
            events=lasting.events,
            files=lasting.files,
            batches=lasting.batches,
            releases=lasting.releases,
            vectors=lasting.vectors,
            knowledge=lasting.knowledge,
            answers=lasting.answers,
            contents=lasting.contents,
            metrics=lasting.telemetry.metrics,
            telemetry=lasting.telemetry,
            limits=lasting.limiter.book,
            link=lasting.link,
            bundled=lasting.bundled,
            keeper=lasting.keeper,
            recorder=lasting.recorder,
            client=client,
            under_way=under_way,
            reloads=lasting.reloads,
            reload=lasting.reload,
        )
        return Configured(undercroft, stack.pop_all())


@dataclass(frozen=True, slots=True)
class Configured:
    """An undercroft with what must be closed when it is no longer needed."""

    undercroft: Undercroft
    stack: contextlib.AsyncExitStack


class Installation:
    """The undercroft in force. Another configuration's takes its place; the former one ends with its last call."""

    def __init__(self, lasting: Lasting, first: Configured) -> None:
        self._lasting = lasting
        self._in_force = first
        self.ending: set[asyncio.Task[None]] = set()
        """Former ones that still have something under way."""
        self._reach_out(first.undercroft)

    @property
    def current(self) -> Undercroft:
        return self._in_force.undercroft

    @property
    def reloads(self) -> Reloads:
        return self._lasting.reloads

    async def prepare(self, settings: Settings) -> Configured:
        """The undercroft of other settings, not in force yet. Raises ConfigurationError."""
        return await configured(self._lasting, settings)

    def enforce(self, fresh: Configured, *, generation: int) -> None:
        """From now on `fresh` is the current one; the former one's calls have `shutdown_grace_s` to end."""
        former, self._in_force = self._in_force, fresh
        self._reach_out(fresh.undercroft, former=former.undercroft)
        ending = asyncio.create_task(_end(former))
        self.ending.add(ending)
        ending.add_done_callback(self._ended)
        self.reloads.applied(generation)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        """The parts of a configuration refer to each other: left to the collector's pace, several pile up."""
        self.ending.discard(ending)
        gc.collect()

    async def close(self) -> None:
        """Ends everything that is under way."""
        for ending in self.ending:
            ending.cancel()
        await asyncio.gather(*self.ending, return_exceptions=True)
        await self._in_force.stack.aclose()

    def _reach_out(self, undercroft: Undercroft, *, former: Undercroft | None = None) -> None:
        """Tells what lasts of the configuration."""
        lasting, settings, catalogue = self._lasting, undercroft.settings, undercroft.gateway.catalogue
        lasting.telemetry.metrics.know(catalogue.is_known)
        lasting.upstreams.show(catalogue)
        lasting.opened.replace(settings.models)
        lasting.limiter.book.follow(rules_of(settings.limits))
        lasting.responses.answer_with(undercroft.responses)
        lasting.jobs.answer_with(undercroft.gateway, undercroft.responses, undercroft.under_way)
        lasting.events.configure(settings)
        lasting.bundled.start(
            chat=uses(settings, "local") or catalogue.default("chat") == LOCAL,
            embedding=uses(settings, "local_embedding") or settings.cache.semantic,
        )
        if former is not None:
            lasting.telemetry.follow(settings, former.settings)


OUTLASTED = "The configuration was replaced, and this answer took longer than [server] shutdown_grace_s to end."


async def _end(former: Configured) -> None:
    undercroft = former.undercroft
    try:
        async with asyncio.timeout(undercroft.settings.server.shutdown_grace_s):
            await undercroft.under_way.over()
    except TimeoutError:
        get_logger("undercroft.configuration").warning("answers_cut", count=undercroft.under_way.count)
    finally:
        await former.stack.aclose()


def uses(settings: Settings, provider: str) -> bool:
    """Whether the configuration names this provider."""
    return any(deployment.provider == provider for model in settings.models for deployment in model.deployments)
