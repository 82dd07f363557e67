"""An assembled installation: what the routes and the command line work with."""

from dataclasses import dataclass

from undercroft.access.doors import Door
from undercroft.access.keys import KeyRing
from undercroft.assembly.access import AccessDesk
from undercroft.assembly.batches import BatchOffice
from undercroft.assembly.bundled import BundledModels
from undercroft.assembly.cache import Answers
from undercroft.assembly.contents import ContentDesk
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.events import EventDesk
from undercroft.assembly.files import FileOffice
from undercroft.assembly.health import Health
from undercroft.assembly.jobs import JobOffice
from undercroft.assembly.knowledge import KnowledgeOffice
from undercroft.assembly.recorder import FanOut, Keeper
from undercroft.assembly.releases import ReleaseOffice
from undercroft.assembly.reloads import Reload, Reloads, UnderWay
from undercroft.assembly.responses import Responses
from undercroft.assembly.telemetry import Telemetry
from undercroft.assembly.vectors import Vectors
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.ledger.limit_book import LimitBook
from undercroft.settings.model import Settings
from undercroft.telemetry import monitor
from undercroft.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, eq=False)
class Undercroft:
    """Of one configuration; where the next one is in force, another."""

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
