"""Gateway processes on one machine that take calls, spool them and ship them, while everything around them fails.

The world knows what each caller was told, and at the end compares it with the ledger.
"""

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Connection, select, text

from tests.support.ledger import ended, opened
from tests.support.simulated_database import SimulatedDatabase, simulated_database
from tests.support.simulated_disk import Medium, SimulatedDisk
from tests.support.simulation import SimulatedClock, SimulatedLoop, SimulatedProcess
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.ledger.entries import INTERRUPTED, record_of
from undercroft.ledger.prices import Rates, charge, price_of
from undercroft.ledger.shipping import GONE, Flushed, Shipper
from undercroft.ledger.spool import Spool
from undercroft.ledger.verify import verify
from undercroft.record import CallProgressed, CallRecord, Usage
from undercroft.storage.schema import calls, slices, spool_offsets

ROOT: Final = Path("/spool")
PRICE: Final = price_of("settings", (0, Rates(250_000_000, 2_000_000_000, 25_000_000, 250_000_000, 2_000_000_000)))
GATEWAYS: Final = 3
CALLERS: Final = 2
BUSY_S: Final = 10.0
"""Seconds of calls and faults."""
QUIET_S: Final = 10.0
"""Of peace after them: longer than any answer of the database takes, and any pause of a shipper."""
WATCHES: Final = (
    "CREATE TABLE moves_back (spool TEXT)",
    """
    CREATE TRIGGER moves_back BEFORE UPDATE ON spool_offsets
    WHEN (NEW.segment, NEW.position) <= (OLD.segment, OLD.position)
    BEGIN INSERT INTO moves_back VALUES (OLD.spool); END
    """,
)
"""A spool's place in the ledger only ever moves forward."""


class Violation(AssertionError):
    """A promise of the ledger was broken."""


@dataclass(slots=True)
class Call:
    """What the caller of one call knows."""

    id: str
    gateway: "Gateway"
    is_refused: bool = False
    has_started: bool = False
    progress: set[int] = field(default_factory=lambda: {0})
    """Counts of tokens of which the last may be on disk."""
    end: CallRecord | None = None
    """Its end, once someone tried to write it."""
    is_acknowledged: bool = False
    """The caller was told that its end is as safe as the configuration promises."""
    is_owed: bool = False
    """The disk refused its end, and the process keeps it to write it later."""


class Program:
    """One life of a process."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.process = SimulatedProcess(world.loop)
        self.disk = SimulatedDisk(world.medium, kill=self.kill)
        world.programs.append(self)

    @property
    def is_alive(self) -> bool:
        return not self.process.is_killed

    def kill(self) -> None:
        self.process.kill()
        self.disk.die()

    def shipper(self, *, own: Spool | None = None, everyones: bool = False) -> Shipper:
        world = self.world
        return Shipper(
            world.database,
            ROOT,
            clock=world.clock,
            price=lambda _: PRICE,
            own=own,
            everyones=everyones,
            disk=self.disk,
        )


class PasserBy(Program):
    """Somebody at the command line ships whatever there is."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._shipper = self.shipper(everyones=world.rng.random() < 0.7)
        self.process.start(self._flush())

    async def _flush(self) -> None:
        with contextlib.suppress(Unavailable, OSError):  # told on the terminal
            await self._shipper.flush()
        self.kill()


class Gateway(Program):
    """Takes calls until it is told to shut down."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.is_closing = False
        self.has_paid = False
        """It ended in order, on a disk that took what was owed."""
        self.lost_power = False
        """While it ran, or after: what it did not wait for may be lost."""
        self._spool = Spool(
            ROOT,
            clock=world.clock,
            ids=world.ids,
            durability=world.durability,
            segment_bytes=world.rng.choice((500, 2000, 20_000)),
            disk=self.disk,
        )
        self._shipper = self.shipper(own=self._spool)
        self._duties = [self.process.start(work) for work in (self._spool.run(), self._shipper.run())]
        self._callers = [self.process.start(self._caller()) for _ in range(CALLERS)]

    async def shut_down(self) -> None:
        """As a server does it: what runs ends, the spool closes, and what is left is shipped once more."""
        self.is_closing = True
        await asyncio.wait(self._callers)
        for duty in self._duties:
            duty.cancel()
        await asyncio.wait(self._duties)
        is_well = not self.world.medium.trouble
        await self._spool.close()
        self.has_paid = is_well
        with contextlib.suppress(Unavailable, OSError):  # logged; the next one ships what is left
            await self._shipper.flush()
        self.kill()

    async def _caller(self) -> None:
        while not self.is_closing:
            await self._pause(0.5)
            await self._call()

    async def _call(self) -> None:
        rng = self.world.rng
        call = Call(self.world.ids.new("req_"), self)
        self.world.calls.append(call)
        try:
            self._spool.append(opened(call.id, estimated_input=rng.randrange(1000)))
        except Unavailable:
            call.is_refused = True
            return
        call.has_started = True
        for tokens in (256, 512, 768)[: rng.choice((0, 0, 3))]:
            await self._pause(0.3)
            call.progress.add(tokens)
            try:
                self._spool.append(CallProgressed(id=call.id, output=tokens))
            except Unavailable:
                continue  # owed, as an end would be
            call.progress = {tokens}
        await self._pause(0.3)
        await self._end(call)

    async def _end(self, call: Call) -> None:
        rng = self.world.rng
        usage = Usage(input=rng.randrange(1000), output=rng.randrange(2000))
        cost_nano, price = charge(PRICE, usage)
        call.end = ended(call.id, usage=usage, cost_nano=cost_nano, price=price, tags={"pad": "x" * rng.randrange(200)})
        try:
            self._spool.append(call.end)
            await self._spool.durable()
        except Unavailable:
            call.is_owed = True
        else:
            call.is_acknowledged = True

    async def _pause(self, mean_s: float) -> None:
        await self.world.clock.sleep(self.world.rng.expovariate(1 / mean_s))


class World:
    """Everything of one seed."""

    def __init__(self, loop: SimulatedLoop, database: SimulatedDatabase) -> None:
        self.loop = loop
        self.rng: random.Random = loop.rng
        self.clock = SimulatedClock(loop)
        self.ids = Ids(self.clock, entropy=self.rng.randbytes)
        self.database = database
        self.medium = Medium(ROOT, rng=self.rng, clock=self.clock)
        self.durability: Literal["process", "power"] = "power" if self.rng.random() < 0.3 else "process"
        self.programs: list[Program] = []
        self.calls: list[Call] = []
        self.told: Counter[str] = Counter()
        """How often each fault was played, and what came of it."""

    async def run(self) -> Counter[str]:
        for _ in range(GATEWAYS):
            Gateway(self)
        chaos = [asyncio.create_task(work) for work in (self._supervise(), self._trouble(), self._trouble())]
        await self.clock.sleep(BUSY_S)
        for task in chaos:
            task.cancel()
        self._heal()
        await self.clock.sleep(QUIET_S)
        for gateway in self._gateways():
            gateway.process.start(gateway.shut_down())
        await self.clock.sleep(QUIET_S)
        flushed = await self._last_flush()
        if flushed.left or flushed.damaged:
            raise Violation(f"left over: {flushed}")
        Judge(self).check()
        return self.told

    async def _last_flush(self) -> Flushed:
        while True:
            try:
                return await Program(self).shipper().flush()
            except Unavailable:  # an answer that took too long
                await self.clock.sleep(QUIET_S)

    def _gateways(self) -> list[Gateway]:
        return [program for program in self.programs if isinstance(program, Gateway) and program.is_alive]

    async def _supervise(self) -> None:
        """Replaces who died, after a while."""
        while True:
            await self.clock.sleep(self.rng.expovariate(2.0))
            if len(self._gateways()) < GATEWAYS:
                Gateway(self)

    async def _trouble(self) -> None:
        faults = [self._kill, self._fuse, self._stop, self._shut_down, self._pass_by]
        faults += [self._outage, self._losses, self._disk]
        if self.durability == "power":
            faults.append(self._power)
        while True:
            await self.clock.sleep(self.rng.expovariate(1.0))
            fault = self.rng.choice(faults)
            self.told[fault.__name__.removeprefix("_")] += 1
            await fault()

    async def _kill(self) -> None:
        if living := self._gateways():
            self.rng.choice(living).kill()

    async def _fuse(self) -> None:
        if living := self._gateways():
            self.rng.choice(living).disk.fuse = self.rng.randrange(30)

    async def _stop(self) -> None:
        if living := self._gateways():
            process = self.rng.choice(living).process
            process.stop()
            await self.clock.sleep(self.rng.uniform(0.1, 6.0))
            process.resume()

    async def _shut_down(self) -> None:
        if living := [gateway for gateway in self._gateways() if not gateway.is_closing]:
            gateway = self.rng.choice(living)
            gateway.process.start(gateway.shut_down())

    async def _pass_by(self) -> None:
        passer_by = PasserBy(self)
        if self.rng.random() < 0.3:
            passer_by.disk.fuse = self.rng.randrange(30)

    async def _outage(self) -> None:
        self.database.is_away = True
        await self.clock.sleep(self.rng.uniform(0.1, 4.0))
        self.database.is_away = False

    async def _losses(self) -> None:
        self.database.loss_rate = 0.5
        await self.clock.sleep(self.rng.uniform(0.1, 4.0))
        self.database.loss_rate = 0.0

    async def _disk(self) -> None:
        self.medium.trouble = self.rng.choice(("full", "broken"))
        await self.clock.sleep(self.rng.uniform(0.1, 2.0))
        self.medium.trouble = ""

    async def _power(self) -> None:
        for program in self.programs:
            program.kill()
            if isinstance(program, Gateway):
                program.lost_power = True
        self.medium.lose_power()

    def _heal(self) -> None:
        self.database.is_away = False
        self.database.loss_rate = 0.0
        self.medium.trouble = ""
        for program in self.programs:
            program.disk.fuse = None
            if program.process.is_stopped:
                program.process.resume()


class Judge:
    """Compares what was promised with what is there."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows = {row.id: row for row in world.database.now(_rows)}

    def check(self) -> None:
        world = self._world
        for call in world.calls:
            self._check_call(call, self._rows.pop(call.id, None))
        _claim(not self._rows, f"booked and never called: {list(self._rows)}")
        for program in world.programs:
            _claim(not program.process.crashes, f"crashed: {program.process.crashes}")
        # A process that dies while it makes its folder leaves that behind under its hidden name, empty.
        left = [name for name in world.medium.folders if not name.startswith(".")]
        _claim(not left, f"left on disk: {left}")
        _claim(not world.database.now(_places), f"places without a spool: {world.database.now(_places)}")
        _claim(not world.database.now(_moves_back), f"moved back: {world.database.now(_moves_back)}")
        disk = SimulatedDisk(world.medium, kill=lambda: None)
        findings = world.database.now(partial(verify, root=ROOT, disk=disk))
        _claim(not findings.faults, f"the ledger does not add up: {findings.faults}")

    def _check_call(self, call: Call, row: CallRecord | None) -> None:
        what = f"{call} is booked as {row}"
        if call.is_refused:
            return _claim(row is None, f"refused, but {what}")
        is_interrupted = row is not None and row.error == INTERRUPTED
        if row is not None and is_interrupted:
            _claim(row.usage.output in call.progress or call.gateway.lost_power, f"counted wrong: {what}")
            _claim(not call.gateway.has_paid, f"alive, but {what}")
        if call.is_acknowledged:
            self._world.told["acknowledged"] += 1
            return _claim(row == call.end, f"acknowledged, but {what}")
        if call.is_owed and call.gateway.has_paid:
            self._world.told["paid"] += 1
            return _claim(row == call.end, f"owed and paid, but {what}")
        if row is None:
            return _claim(not call.has_started or call.gateway.lost_power, f"started, but {what}")
        self._world.told["interrupted" if is_interrupted else "unsaid"] += 1
        return _claim(is_interrupted or row == call.end, f"neither interrupted nor its end: {what}")


async def spool_world(loop: SimulatedLoop) -> Counter[str]:
    """One seed. Raises Violation; otherwise tells what happened."""
    with simulated_database(loop, calls, slices, spool_offsets) as database:
        database.execute(*WATCHES)
        return await World(loop, database).run()


def _claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


def _rows(connection: Connection) -> list[CallRecord]:
    return [record_of(row) for row in connection.execute(select(calls)).mappings()]


def _places(connection: Connection) -> list[str]:
    return list(connection.scalars(select(spool_offsets.c.spool).where(spool_offsets.c.segment < GONE.segment)))


def _moves_back(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT spool FROM moves_back")))
