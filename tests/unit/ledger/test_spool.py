"""The spool takes every record at once, says so when it cannot, and heals by itself."""

import asyncio
import errno
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.ledger import ProcessDisk, ended, opened
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.ledger.frames import HEADER
from undercroft.ledger.reader import SpoolReader
from undercroft.ledger.spool import MOST_OWED, Spool
from undercroft.record import CallProgressed, CallRecord, SpoolRecord, Usage, encode


class Machine:
    """One process's spool on a disk that can fail."""

    def __init__(self, root: Path, **options: object) -> None:
        self.clock = ManualClock()
        self.disk = ProcessDisk()
        self.spool = Spool(root / "spool", clock=self.clock, ids=Ids(self.clock), disk=self.disk, **options)  # type: ignore[arg-type]  # passed on as given

    def fill_disk(self) -> None:
        self.disk.fail = refusing("write", "create", error=errno.ENOSPC)

    def mend(self) -> None:
        self.disk.fail = None

    def read(self) -> list[SpoolRecord]:
        reader = SpoolReader(self.spool.folder, ProcessDisk())
        records: list[SpoolRecord] = []
        while batch := reader.following(is_alive=False):
            records += [record for _, record in batch.records]
            reader.take(batch)
        return records


def refusing(*names: str, error: int) -> Callable[[str, int], int | None]:
    def fail(name: str, count: int) -> int | None:
        if name in names:
            raise OSError(error, os.strerror(error))
        return None

    return fail


async def until(holds: Callable[[], bool]) -> None:
    """A sync runs in a thread, so there is real time to wait for."""
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.001)
    pytest.fail("did not happen")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.disk.die()


def test_a_record_can_be_read_back_as_soon_as_append_returns(machine: Machine) -> None:
    written: list[SpoolRecord] = [opened("a"), CallProgressed(id="a", output=256), ended("a")]
    for record in written:
        machine.spool.append(record)
    assert machine.read() == written


def test_segments_rotate_by_size_and_keep_their_order(tmp_path: Path) -> None:
    machine = Machine(tmp_path, segment_bytes=1000)
    written = [ended(f"call_{number}") for number in range(50)]
    for record in written:
        machine.spool.append(record)
    assert machine.read() == written
    segments = SpoolReader(machine.spool.folder, machine.disk).segments()
    assert len(segments) > 5
    machine.disk.die()


def test_a_full_disk_refuses_new_spend_and_keeps_what_was_spent(machine: Machine) -> None:
    machine.spool.append(opened("a"))
    machine.fill_disk()
    with pytest.raises(Unavailable) as refused:
        machine.spool.append(opened("b"))
    assert (refused.value.code, refused.value.status) == ("ledger_unavailable", 503)
    with pytest.raises(Unavailable):
        machine.spool.append(ended("a"))
    assert machine.spool.problem == "No space left on device"

    machine.mend()
    machine.spool.append(opened("c"))
    assert machine.spool.problem == ""
    assert machine.read() == [opened("a"), ended("a"), opened("c")]


def test_no_call_may_open_while_an_ended_one_is_not_on_disk(machine: Machine) -> None:
    machine.spool.append(opened("a"))
    machine.fill_disk()
    with pytest.raises(Unavailable):
        machine.spool.append(ended("a"))
    # There is room for a small record, but not for the one that is owed.
    machine.disk.fail = lambda name, count: 3 if name == "write" else None
    with pytest.raises(Unavailable):
        machine.spool.append(opened("b"))
    assert machine.read() == [opened("a")]


@pytest.mark.parametrize("fitted", range(0, 60, 7))
def test_a_half_written_record_is_taken_back(machine: Machine, fitted: int) -> None:
    machine.spool.append(opened("a"))
    machine.disk.fail = lambda name, count: fitted if name == "write" else None
    with pytest.raises(Unavailable):
        machine.spool.append(opened("b"))
    machine.mend()
    machine.spool.append(opened("c"))
    assert machine.read() == [opened("a"), opened("c")]
    assert SpoolReader(machine.spool.folder, machine.disk).segments() == [1]


def test_a_half_written_record_that_cannot_be_taken_back_ends_its_segment(machine: Machine) -> None:
    machine.spool.append(opened("a"))

    def broken(name: str, count: int) -> int | None:
        if name == "truncate":
            raise OSError(errno.EIO, "Input/output error")
        return 5 if name == "write" else None

    machine.disk.fail = broken
    with pytest.raises(Unavailable):
        machine.spool.append(opened("b"))
    machine.mend()
    machine.spool.append(opened("c"))
    assert machine.read() == [opened("a"), opened("c")]
    assert SpoolReader(machine.spool.folder, machine.disk).segments() == [1, 2]


def test_whatever_disk_call_fails_no_acknowledged_record_is_lost_and_none_is_doubled(tmp_path: Path) -> None:
    for failing in itertools.count(1):
        machine = Machine(tmp_path / str(failing), segment_bytes=600)

        def fail(name: str, count: int, failing: int = failing) -> int | None:
            if count == failing:
                raise OSError(errno.EIO, "Input/output error")
            return None

        machine.disk.fail = fail
        acknowledged, kept = [], []
        for number in range(20):
            record = ended(f"call_{number:02}")
            try:
                machine.spool.append(record)
                acknowledged.append(record.id)
            except Unavailable:
                kept.append(record.id)
        machine.mend()
        machine.spool.append(opened("last"))
        ids = [record.id for record in machine.read() if isinstance(record, CallRecord)]
        assert sorted(ids) == sorted(acknowledged + kept), failing
        machine.disk.die()
        if machine.disk.count < failing:
            assert failing > 20
            return


def test_records_in_memory_are_bounded_while_the_disk_is_full(machine: Machine) -> None:
    machine.fill_disk()
    record = ended("a")
    for _ in range(MOST_OWED + 5):
        with pytest.raises(Unavailable):
            machine.spool.append(record)
    machine.mend()
    machine.spool.append(opened("b"))
    assert len(machine.read()) == MOST_OWED + 1


def test_the_spool_notices_by_itself_that_the_disk_is_well_again(machine: Machine) -> None:
    async def scenario() -> None:
        running = asyncio.create_task(machine.spool.run())
        await asyncio.sleep(0)
        machine.fill_disk()
        with pytest.raises(Unavailable):
            machine.spool.append(ended("a"))
        await until(lambda: machine.clock.is_awaited)
        machine.clock.advance(1)
        await asyncio.sleep(0)
        assert machine.spool.problem
        machine.mend()
        machine.clock.advance(1)
        await until(lambda: not machine.spool.problem)
        running.cancel()
        assert machine.read() == [ended("a")]

    asyncio.run(scenario())


def test_an_idle_spool_wakes_nobody(machine: Machine) -> None:
    async def scenario() -> None:
        running = asyncio.create_task(machine.spool.run())
        machine.spool.append(ended("a"))
        await until(lambda: machine.clock.is_awaited)
        machine.clock.advance(1)
        await until(lambda: machine.disk.synced > 0)
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert not machine.clock.is_awaited
        running.cancel()

    asyncio.run(scenario())


def test_a_segment_begun_in_vain_is_not_where_the_spool_ends(machine: Machine) -> None:
    machine.spool.append(ended("a"))
    end = machine.spool.end

    def headless(name: str, count: int) -> int | None:
        return 0 if name == "write" else None

    machine.disk.fail = headless
    with pytest.raises(Unavailable):
        machine.spool.append(opened("b"))
    machine.spool._mend()
    machine.mend()
    assert (machine.spool.end, machine.spool.end.segment) == (end, 1)
    machine.spool.append(ended("c"))
    assert SpoolReader(machine.spool.folder, machine.disk).segments() == [1]
    assert machine.spool.end == (1, sum(path.stat().st_size for path in machine.spool.folder.iterdir()))


def test_a_folder_that_cannot_be_made_is_tried_again_with_every_record(machine: Machine) -> None:
    machine.disk.fail = refusing("make_folder", error=errno.EROFS)
    with pytest.raises(Unavailable, match="Read-only file system"):
        machine.spool.open()
    with pytest.raises(Unavailable):
        machine.spool.append(opened("a"))
    machine.mend()
    machine.spool.append(opened("b"))
    assert machine.read() == [opened("b")]


def test_all_who_wait_for_durability_share_a_sync(tmp_path: Path) -> None:
    machine = Machine(tmp_path, durability="power")

    async def answer(number: int) -> None:
        machine.spool.append(ended(f"call_{number}"))
        await machine.spool.durable()

    async def scenario() -> None:
        await asyncio.gather(*(answer(number) for number in range(200)))
        await machine.spool.close()

    asyncio.run(scenario())
    assert len(machine.read()) == 200
    # One for those that came first, one for those that came while it ran, one at the close.
    assert machine.disk.synced <= 3


def test_nobody_is_told_durable_before_the_sync_that_began_after_the_record(tmp_path: Path) -> None:
    machine = Machine(tmp_path, durability="power")
    release = asyncio.Event()
    began = 0

    async def slow_sync(descriptor: int) -> None:
        nonlocal began
        began += 1
        await release.wait()

    machine.disk.sync = slow_sync  # type: ignore[method-assign]  # a disk whose sync waits for the test

    async def scenario() -> None:
        machine.spool.append(ended("a"))
        first = asyncio.create_task(machine.spool.durable())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        machine.spool.append(ended("b"))
        second = asyncio.create_task(machine.spool.durable())
        await asyncio.sleep(0)
        assert (began, first.done(), second.done()) == (1, False, False)
        release.set()
        await first
        await second
        assert began == 2
        await machine.spool.close()

    asyncio.run(scenario())


def test_a_failed_sync_is_told_to_those_who_waited_and_its_file_is_left(tmp_path: Path) -> None:
    machine = Machine(tmp_path, durability="power")

    async def scenario() -> None:
        machine.spool.append(ended("a"))
        machine.disk.fail = refusing("sync", error=errno.EIO)
        with pytest.raises(Unavailable):
            await machine.spool.durable()
        machine.mend()
        with pytest.raises(Unavailable):
            await machine.spool.durable()
        machine.spool.append(ended("b"))
        await machine.spool.durable()
        assert SpoolReader(machine.spool.folder, machine.disk).segments() == [1, 2]
        await machine.spool.close()

    asyncio.run(scenario())
    assert [record.id for record in machine.read()] == ["a", "b"]


def test_process_durability_syncs_in_the_background_and_waits_for_nothing(machine: Machine) -> None:
    async def scenario() -> None:
        running = asyncio.create_task(machine.spool.run())
        machine.spool.append(ended("a"))
        await machine.spool.durable()
        assert machine.disk.synced == 0
        await asyncio.sleep(0)
        machine.clock.advance(0.2)
        await until(lambda: machine.disk.synced > 0)
        running.cancel()

    asyncio.run(scenario())


def test_a_closed_spool_refuses_records_and_lets_go_of_its_folder(machine: Machine) -> None:
    machine.spool.append(ended("a"))
    assert machine.disk.claim(machine.spool.folder) is None
    asyncio.run(machine.spool.close())
    asyncio.run(machine.spool.close())
    assert not machine.spool.is_open
    with pytest.raises(Unavailable, match="closed"):
        machine.spool.append(opened("b"))
    claim = machine.disk.claim(machine.spool.folder)
    assert claim is not None


def test_closing_writes_what_is_owed(machine: Machine) -> None:
    machine.fill_disk()
    with pytest.raises(Unavailable):
        machine.spool.append(ended("a"))
    machine.mend()
    asyncio.run(machine.spool.close())
    assert machine.read() == [ended("a")]


def test_closing_on_a_full_disk_says_what_is_lost_and_lets_go(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.spool.open()
    assert machine.spool.problem == ""
    machine.fill_disk()
    with pytest.raises(Unavailable):
        machine.spool.append(ended("a"))
    asyncio.run(machine.spool.close())
    assert "1 call records could not be written" in caplog.text
    assert machine.disk.claim(machine.spool.folder) is not None


def test_closing_waits_for_the_sync_that_runs(tmp_path: Path) -> None:
    machine = Machine(tmp_path, durability="power")

    async def scenario() -> None:
        machine.spool.append(ended("a"))
        waiting = asyncio.create_task(machine.spool.durable())
        await asyncio.sleep(0)
        await machine.spool.close()
        await waiting

    asyncio.run(scenario())
    assert machine.read() == [ended("a")]


@pytest.mark.parametrize(
    "wild",
    [
        ended("wild", usage=Usage(input=10**30, output=-5)),
        ended("wild", end_user="\ud800"),
        ended("wild", end_user="x" * 5_000_000, tags={"a": "y" * 100_000}),
        opened("wild", estimated_input=10**30),
        CallProgressed(id="wild", output=10**30),
    ],
    ids=["huge number", "lone surrogate", "long text", "huge estimate", "huge progress"],
)
def test_a_record_that_cannot_be_stored_as_it_is_is_cut_and_not_lost(machine: Machine, wild: SpoolRecord) -> None:
    machine.spool.append(wild)
    machine.spool.append(ended("next"))
    first, second = machine.read()
    assert (type(first), first.id, second) == (type(wild), "wild", ended("next"))


def test_a_record_and_its_frame_are_small() -> None:
    record = ended("req_019b4c1f2a00" + "0" * 20, trace="0" * 32)
    assert len(encode(record)) + 8 < 400


def test_append_takes_microseconds(tmp_path: Path) -> None:
    from undercroft.clock import SystemClock

    spool = Spool(tmp_path, clock=SystemClock(), ids=Ids(SystemClock()))
    record = ended("req_019b4c1f2a00" + "0" * 20)
    count, best = 5_000, 1.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            spool.append(record)
        best = min(best, (time.perf_counter() - start) / count)
    print(f"append: {best * 1e6:.2f} µs, {len(HEADER)} byte header")
    asyncio.run(spool.close())
    assert best < 50e-6  # the aim is 5 µs
