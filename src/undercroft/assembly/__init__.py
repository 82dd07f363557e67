"""The only place that picks implementations: builds everything, and takes it down in reverse order."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from undercroft.access.doors import Bind, Door, host_name
from undercroft.access.keys import KeyRing
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.health import Health
from undercroft.assembly.local_models import LocalModels
from undercroft.assembly.models import ModelBuilder
from undercroft.assembly.rates import BookedRates
from undercroft.assembly.recorder import FanOut
from undercroft.clock import Clock, SystemClock
from undercroft.egress.client import Client
from undercroft.errors import Unavailable
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.ledger.prices import PriceBook
from undercroft.ledger.spool import Spool
from undercroft.settings.model import Settings
from undercroft.telemetry.metrics import Metrics
from undercroft.telemetry.requests import RequestLog


@dataclass(frozen=True, slots=True)
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
    local: LocalModels
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
        return self.metrics.render(accept)

    def health(self) -> Health:
        """What is up and what is not, at this moment; asks nobody, only reads what is known."""
        checks = {"database": "ok" if self.link.ready else self.link.problem}
        failing = [] if self.link.ready or self.link.problem == "opening" else ["database"]
        checks["disk"] = self.spool.problem or "ok"
        if self.spool.problem:
            failing.append("disk")
        states = self.local.states()
        checks |= states
        return Health(
            checks=checks,
            failing=tuple(failing),
            loading="loading" in states.values(),
            degraded=any(state not in ("ok", "loading", "idle") for state in states.values()),
        )
