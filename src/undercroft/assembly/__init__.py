"""The only place that picks implementations: builds everything, and takes it down in reverse order."""

import contextlib
import random
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from undercroft.access.doors import Bind, Door, host_name
from undercroft.access.keys import KeyRing
from undercroft.assembly.bundled import LOCAL, BundledModels, OwnModels, SharedModels
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.health import Health
from undercroft.assembly.models import ModelBuilder
from undercroft.assembly.rates import BookedRates
from undercroft.assembly.recorder import FanOut
from undercroft.assembly.shipping import shipping
from undercroft.clock import Clock, SystemClock
from undercroft.egress.client import Client
from undercroft.errors import Unavailable
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.ledger.prices import PriceBook
from undercroft.ledger.spool import Spool
from undercroft.record import CallRecord
from undercroft.settings.model import Settings
from undercroft.settings.secrets import secrets_of
from undercroft.telemetry import monitor
from undercroft.telemetry.metrics import Metrics
from undercroft.telemetry.redaction import Redactor
from undercroft.telemetry.requests import RequestLog

SPOOL = "spool"
"""Folder of the data directory that holds every process's call records."""


@dataclass(frozen=True, slots=True, eq=False)
class Undercroft:
    """An assembled installation: what the routes and the command line work with."""

    settings: Settings
    clock: Clock
    ids: Ids
    door: Door
    keys: KeyRing
    gateway: Gateway
    metrics: Metrics
    link: DatabaseLink
    bundled: BundledModels
    spool: Spool
    recorder: FanOut

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
        checks = {"database": self.link.problem or "ok", "disk": self.spool.problem or "ok"}
        checks |= self.bundled.states()
        failing = [part for part in ("database", "disk") if checks[part] not in ("ok", "opening")]
        states = self.bundled.states().values()
        return Health(
            checks=checks,
            failing=tuple(failing),
            loading="loading" in states or self.link.problem == "opening",
            degraded=any(state not in ("ok", "loading") for state in states),
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """What the workers of one server have in common."""

    metrics: Path
    """Folder in which each keeps its series; a scrape of any adds all up."""
    models: Path
    """Socket of the process that holds the bundled models."""


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
    clock = clock or SystemClock()
    ids = Ids(clock)
    rng = random.Random()  # noqa: S311 - spreads load and jitters waits
    async with contextlib.AsyncExitStack() as stack:
        spool = Spool(settings.data_dir / SPOOL, clock=clock, ids=ids, durability=settings.ledger.durability)
        with contextlib.suppress(Unavailable):  # logged; /health says so, and each call tries again
            spool.open()
        stack.push_async_callback(spool.close)
        client = Client(limits=settings.egress, clock=clock)
        stack.push_async_callback(client.close)
        bundled: BundledModels
        if shared is None:
            bundled = OwnModels(settings, ids=ids)
        else:
            bundled = SharedModels(settings, socket=shared.models, ids=ids, client=client, clock=clock)
        stack.push_async_callback(bundled.close)
        prices = PriceBook()
        catalogue = ModelBuilder(
            settings, bundled=bundled, client=client, prices=prices, clock=clock, rng=rng
        ).catalogue()
        metrics = Metrics(shared.metrics if shared else None, clock=clock, known=catalogue.is_known)
        stack.callback(metrics.close)
        monitor.attach(metrics)
        stack.callback(monitor.attach, None)
        listeners: list[Callable[[list[CallRecord]], None]] = [lambda records: _each(metrics.observe, records)]
        if log_calls:
            log = _request_log(settings, clock=clock)
            stack.callback(log.close)
            listeners.append(lambda records: _log(log, records))
        recorder = FanOut(spool, listeners)
        stack.callback(recorder.tell)
        keys = KeyRing()
        link = DatabaseLink(settings, keys=keys, clock=clock)
        await stack.enter_async_context(link.running())
        overrides = {
            f"{model.name}/{place}": deployment.price
            for model in settings.models
            for place, deployment in enumerate(model.deployments)
            if deployment.price is not None
        }
        gateway = Gateway(
            catalogue=catalogue,
            recorder=recorder,
            rates=BookedRates(prices, overrides=overrides),
            gauge=metrics,
            clock=clock,
            rng=rng,
        )
        await stack.enter_async_context(shipping(link, spool, settings, prices=prices, clock=clock))
        bundled.start(
            chat=uses(settings, "local") or catalogue.default("chat") == LOCAL,
            embedding=uses(settings, "local_embedding"),
        )
        yield Undercroft(
            settings=settings,
            clock=clock,
            ids=ids,
            door=_door(settings, bind),
            keys=keys,
            gateway=gateway,
            metrics=metrics,
            link=link,
            bundled=bundled,
            spool=spool,
            recorder=recorder,
        )


def uses(settings: Settings, provider: str) -> bool:
    """Whether the configuration names this provider."""
    return any(deployment.provider == provider for model in settings.models for deployment in model.deployments)


def _door(settings: Settings, bind: Bind) -> Door:
    return Door(
        bind=bind,
        master_key=_text(settings.access.master_key),
        metrics_token=_text(settings.telemetry.metrics_token),
        allowed_hosts=frozenset(host_name(host) or host.lower() for host in settings.server.allowed_hosts),
    )


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _request_log(settings: Settings, *, clock: Clock) -> RequestLog:
    telemetry = settings.telemetry
    return RequestLog(
        sys.stdout,
        clock=clock,
        redactor=Redactor(secrets_of(settings)),
        format=telemetry.log_format,
        level=telemetry.log_level,
    )


def _each(observe: Callable[[CallRecord], None], records: list[CallRecord]) -> None:
    for record in records:
        observe(record)


def _log(log: RequestLog, records: list[CallRecord]) -> None:
    for record in records:
        log.add(record)
    log.flush()
