"""Versions that exist only in memory, for the host that brings them up and moves traffic between them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.clock import ManualClock
from undercroft.api.figures import Figures
from undercroft.api.version_control import Report
from undercroft.errors import Unavailable, UndercroftError
from undercroft.hosting.host import Host
from undercroft.hosting.types import Gate, Process, State, Version

LANES = 20
STATE = State(host="127.0.0.1", port=8000, lanes=LANES, directory="/srv", drain_s=5)


@dataclass
class FakeVersion:
    """How a version behaves, and what became of it."""

    schema: str = "0013"
    refuses_to_start: str = ""
    fails_trial: str = ""
    figures: Callable[[int], Figures] = lambda lanes: Figures()
    """What it has done so far, by the lanes it has."""
    connections: int = 0
    lanes: tuple[int, ...] = ()
    runs: bool = False
    starts: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class FakeRunner:
    """A Runner whose versions live in this object, which outlives the host."""

    def __init__(self) -> None:
        self.versions: dict[str, FakeVersion] = {}
        self.migrated: list[str] = []
        self.refuses_to_migrate = ""
        self.forgotten: list[str] = []
        self.served: list[tuple[str, int]] = []
        """Each change of lanes: whose, and how many then."""

    def of(self, version: Version) -> FakeVersion:
        return self.versions.setdefault(version.name, FakeVersion())

    async def migrate(self, version: Version, state: State, /) -> None:
        if self.refuses_to_migrate:
            raise UndercroftError(self.refuses_to_migrate)
        self.migrated.append(version.name)

    async def launch(self, version: Version, state: State, /) -> Process:
        fake = self.of(version)
        fake.runs, fake.lanes, fake.ended = True, (), asyncio.Event()
        fake.starts += 1
        return Process(pid=fake.starts, born=fake.starts, boot="")

    async def ready(self, version: Version, /, *, within_s: float) -> Report:
        fake = self.of(version)
        if fake.refuses_to_start:
            raise UndercroftError(fake.refuses_to_start)
        return self._report(version.name, fake)

    async def adopt(self, version: Version, /) -> Report | None:
        fake = self.of(version)
        return self._report(version.name, fake) if fake.runs else None

    async def try_out(self, version: Version, gate: Gate, /) -> str:
        return self.of(version).fails_trial

    async def serve(self, version: Version, lanes: tuple[int, ...], /) -> None:
        self._living(version).lanes = lanes
        self.served.append((version.name, len(lanes)))

    async def figures(self, version: Version, /) -> Figures:
        fake = self._living(version)
        return self._report(version.name, fake).figures

    async def ended(self, version: Version, /) -> None:
        await self.of(version).ended.wait()

    async def stop(self, version: Version, /, *, at_once: bool = False) -> None:
        self.die(version.name)

    def forget(self, name: str, /) -> None:
        self.forgotten.append(name)

    def die(self, name: str) -> None:
        fake = self.versions[name]
        fake.runs, fake.lanes = False, ()
        fake.ended.set()

    def _living(self, version: Version) -> FakeVersion:
        fake = self.of(version)
        if not fake.runs:
            raise Unavailable(f"{version.name} does not answer.")
        return fake

    @staticmethod
    def _report(name: str, fake: FakeVersion) -> Report:
        did = fake.figures(len(fake.lanes))
        figures = Figures(
            begun=did.begun,
            answered=did.answered,
            failed=did.failed,
            latencies=did.latencies,
            connections=fake.connections,
            deaths=did.deaths,
        )
        return Report(name=name, undercroft="1", schema=fake.schema, lanes=fake.lanes, figures=figures)


class World:
    """A host over fake versions, on a clock that is moved while something waits for it."""

    def __init__(self, runner: FakeRunner | None = None, state: State = STATE) -> None:
        self.clock = ManualClock()
        self.runner = runner or FakeRunner()
        self.saved: list[State] = [state]
        self.told: list[str] = []
        self.host = Host(state, self.runner, save=self.saved.append, clock=self.clock)

    @property
    def state(self) -> State:
        return self.saved[-1]

    def stage(self, name: str) -> str:
        version = self.state.version(name)
        return version.stage if version is not None else "unknown"

    def lanes(self, name: str) -> int:
        return len(self.runner.versions[name].lanes)

    async def up(self, name: str, fake: FakeVersion | None = None) -> str:
        if fake is not None:
            self.runner.versions[name] = fake
        return await self.host.up(Version(name=name, python="python"), Gate(), self.told.append)

    async def passing(self, work: "asyncio.Task[str]", *, most_s: float = 1000) -> str:
        """Moves the clock until the work has ended."""
        for _ in range(int(most_s / 0.1)):
            await self.settle()
            if work.done():
                break
            self.clock.advance(0.1)
        return await asyncio.wait_for(work, 1)

    async def settle(self) -> None:
        """Lets everything run that does not wait for the clock."""
        for _ in range(30):
            await asyncio.sleep(0)
