"""Each record is booked exactly once, whoever crashes where."""

import asyncio
import errno
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from tests.support.clock import ManualClock
from tests.support.ledger import MemoryDatabase, ProcessDisk, ended, memory_database, opened
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.ledger.frames import HEADER, frame
from undercroft.ledger.prices import Price, PriceBook
from undercroft.ledger.reader import Place
from undercroft.ledger.recent import MOST_STRETCHES, STRETCH
from undercroft.ledger.shipping import GONE_FOR_US, OTHERS_S, Flushed, Shipper, book
from undercroft.ledger.spool import Spool
from undercroft.record import CallOpened, CallProgressed, encode
from undercroft.storage.schema import calls, spool_offsets

CLOCK = ManualClock()
IDS = Ids(CLOCK)
BOOK = PriceBook()


def price(opened: CallOpened) -> Price | None:
    return BOOK.price("openai", "gpt-5-mini", at_us=opened.started_us)


class Process:
    """A process with a spool and a shipper, which can be killed."""

    def __init__(self, root: Path, database: MemoryDatabase, *, segment_bytes: int = 700) -> None:
        self.disk = ProcessDisk()
        self.spool = Spool(root, clock=CLOCK, ids=IDS, segment_bytes=segment_bytes, disk=self.disk)
        self.shipper = Shipper(database, root, clock=CLOCK, price=price, own=self.spool, disk=self.disk)
        self.open: list[str] = []

    def flush(self) -> Flushed:
        return asyncio.run(self.shipper.flush())

    def kill(self, torn: bytes = b"") -> None:
        self.disk.die(torn)


class World:
    def __init__(self, root: Path, database: MemoryDatabase) -> None:
        self.root = root
        self.database = database
        self.processes: list[Process] = []

    def start(self, *, segment_bytes: int = 700) -> Process:
        process = Process(self.root, self.database, segment_bytes=segment_bytes)
        self.processes.append(process)
        return process

    def passer_by(self, *, everyones: bool = False) -> Shipper:
        """The command line, or a process without calls of its own."""
        return Shipper(self.database, self.root, clock=CLOCK, price=price, everyones=everyones)

    def adopt(self) -> Flushed:
        return asyncio.run(self.passer_by().flush())

    @property
    def folders(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir()) if self.root.exists() else []

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.database.rows()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with memory_database() as database:
        world = World(tmp_path / "spool", database)
        yield world
        for process in world.processes:
            process.kill()


def test_a_record_is_booked_as_it_was_written(world: World) -> None:
    process = world.start()
    record = ended("a", tags={"team": "blue"}, streamed=True, trace="0" * 32, end_user="u\0x")
    process.spool.append(record)
    assert process.flush().booked == 1
    (row,) = world.database.rows()
    assert row == type(record)(
        **({name: getattr(record, name) for name in record.__struct_fields__} | {"end_user": "u\ufffdx"})
    )
    assert process.flush().booked == 0


def test_wholly_shipped_segments_go_and_the_last_stays(world: World) -> None:
    process = world.start()
    for number in range(40):
        process.spool.append(ended(f"call_{number:02}"))
    assert len(list(process.spool.folder.iterdir())) > 5
    process.flush()
    assert len(list(process.spool.folder.iterdir())) == 1
    assert len(world.ids) == 40


def test_a_segment_in_which_a_call_is_open_stays_with_all_that_follow(world: World) -> None:
    process = world.start()
    process.spool.append(opened("long"))
    for number in range(40):
        process.spool.append(ended(f"call_{number:02}"))
    before = len(list(process.spool.folder.iterdir()))
    process.flush()
    assert len(list(process.spool.folder.iterdir())) == before
    process.spool.append(ended("long"))
    process.flush()
    assert len(list(process.spool.folder.iterdir())) == 1


def test_an_open_call_of_a_living_process_is_not_booked(world: World) -> None:
    process = world.start()
    process.spool.append(opened("a"))
    assert process.flush().running == 1
    assert asyncio.run(world.passer_by(everyones=True).flush()).running == 1
    assert world.adopt().running == 0
    assert world.ids == []


def test_an_open_call_of_a_dead_process_is_booked_as_interrupted_at_what_is_known(world: World) -> None:
    process = world.start()
    process.spool.append(opened("a", estimated_input=1_000_000))
    process.spool.append(CallProgressed(id="a", output=256))
    process.spool.append(CallProgressed(id="a", output=512))
    process.spool.append(opened("b"))
    process.spool.append(ended("b"))
    process.flush()
    process.kill()
    assert world.adopt().interrupted == 1
    row = world.database.rows()[0]
    assert (row.id, row.status, row.error, row.usage_estimated) == ("a", 499, "interrupted", True)
    assert (row.usage.input, row.usage.output) == (1_000_000, 512)
    assert row.cost_nano == 250_000_000 + 512 * 2000
    assert row.price == "genai-prices 0.2.3 0.25/2/0.025"
    assert (world.folders, world.database.places()) == ([], {})


def test_a_spool_that_was_closed_is_shipped_and_removed(world: World) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    asyncio.run(process.spool.close())
    assert process.flush().booked == 1
    assert (world.ids, world.folders, world.database.places()) == (["a"], [], {})


def test_a_move_that_arrives_when_its_spool_is_gone_books_nothing(world: World) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    process.kill()
    world.adopt()
    late = partial(book, spool=process.spool.name, before=None, after=Place(1, 99), records=[ended("b")], now_us=0)
    assert not world.database.run(late)
    assert (world.ids, world.database.places()) == (["a"], {})


def test_the_places_of_spools_long_gone_are_dropped(world: World) -> None:
    for name in ("a", "b"):
        process = world.start()
        process.spool.append(ended(name))
        process.kill()
        world.adopt()
        assert world.database.run(lambda connection: len(connection.execute(select(spool_offsets)).all())) == 1
        CLOCK.advance(GONE_FOR_US / 1e6 + 1)


def test_a_living_others_spool_is_shipped_only_on_request_and_never_touched(world: World) -> None:
    process = world.start()
    for number in range(10):
        process.spool.append(ended(f"call_{number}"))
    files = list(process.spool.folder.iterdir())
    assert world.adopt() == Flushed()
    assert asyncio.run(world.passer_by(everyones=True).flush()).booked == 10
    assert sorted(process.spool.folder.iterdir()) == sorted(files)
    process.spool.append(ended("later"))
    assert process.flush().booked == 1
    assert len(world.ids) == 11


@pytest.mark.parametrize("torn", [b"\x50", frame(b"x" * 90)[:-1], bytes(200), HEADER])
def test_a_torn_end_is_passed_over(world: World, torn: bytes) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    process.kill(torn)
    done = world.adopt()
    assert (done.booked, done.torn_bytes, done.damaged) == (1, len(torn.rstrip(b"\0")), []), "zeros are nobody's"
    assert world.folders == []


def test_a_spool_cut_at_any_byte_gives_every_whole_record_and_the_open_call(world: World) -> None:
    process = world.start(segment_bytes=100_000)
    process.spool.append(opened("open"))
    process.spool.append(ended("a"))
    process.spool.append(ended("b"))
    process.kill()
    (segment,) = process.spool.folder.iterdir()
    lengths = [len(frame(encode(record))) for record in (opened("open"), ended("a"), ended("b"))]
    ends = list(itertools.accumulate(lengths, initial=len(HEADER)))[1:]
    whole = segment.read_bytes()[: ends[-1]]
    for length in range(len(whole) + 1):
        process.spool.folder.mkdir(exist_ok=True)
        segment.write_bytes(whole[:length])
        world.adopt()
        expected = [name for name, end in zip(("open", "a", "b"), ends, strict=True) if end <= length]
        assert world.ids == sorted(expected), length
        assert world.folders == []
        for table in (calls, spool_offsets):
            world.database.run(lambda connection, table=table: connection.execute(delete(table)).close())  # type: ignore[misc]  # the default binds it


def test_a_record_that_is_still_being_written_is_waited_for(world: World) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    (segment,) = process.spool.folder.iterdir()
    behind = len(HEADER) + len(frame(encode(ended("a"))))
    data = frame(encode(ended("b")))
    reading = world.passer_by(everyones=True)
    for start, end in ((0, 5), (5, 40), (40, len(data))):
        assert asyncio.run(reading.flush()).torn_bytes == 0
        with segment.open("r+b") as writing:
            writing.seek(behind + start)
            writing.write(data[start:end])
    asyncio.run(reading.flush())
    assert world.ids == ["a", "b"]


def test_a_segment_without_its_header_yet_is_waited_for(world: World) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    (segment,) = process.spool.folder.iterdir()
    whole = segment.read_bytes()
    segment.write_bytes(whole[:7])
    reading = world.passer_by(everyones=True)
    assert asyncio.run(reading.flush()).booked == 0
    segment.write_bytes(whole)
    assert asyncio.run(reading.flush()).booked == 1


def test_a_segment_that_its_holder_removes_under_our_eyes_is_no_trouble(world: World) -> None:
    class Late(ProcessDisk):
        def read(self, path: Path, start: int, size_bytes: int) -> bytes:
            path.unlink()
            return super().read(path, start, size_bytes)

    process = world.start()
    process.spool.append(ended("a"))
    shipper = Shipper(world.database, world.root, clock=CLOCK, price=price, everyones=True, disk=Late())
    assert asyncio.run(shipper.flush()) == Flushed()


def test_a_folder_that_cannot_be_read_does_not_keep_others_waiting(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Sick(ProcessDisk):
        def read(self, path: Path, start: int, size_bytes: int) -> bytes:
            if path.parent.name == first.spool.name:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(path, start, size_bytes)

    first, second = sorted((world.start(), world.start()), key=lambda process: process.spool.name)
    first.spool.append(ended("a"))
    second.spool.append(ended("b"))
    shipper = Shipper(world.database, world.root, clock=CLOCK, price=price, everyones=True, disk=Sick())
    for _ in range(3):
        done = asyncio.run(shipper.flush())
        assert done.left == [f"{first.spool.name}: [Errno 5] Input/output error"]
    assert world.ids == ["b"]
    assert caplog.text.count("is left as it is") == 1


def test_a_call_opened_again_by_a_retry_keeps_the_segment_of_its_first_start(world: World) -> None:
    process = world.start(segment_bytes=100)
    process.spool.append(opened("a"))
    process.spool.append(opened("a", deployment="chat/1"))
    process.spool.append(ended("b"))
    segments = sorted(process.spool.folder.iterdir())
    process.flush()
    assert sorted(process.spool.folder.iterdir()) == segments
    process.kill()
    world.adopt()
    assert [(row.id, row.deployment) for row in world.database.rows()] == [("a", "chat/1"), ("b", "chat/0")]


def test_damage_in_the_middle_costs_only_the_damaged_record_and_keeps_the_file(world: World) -> None:
    process = world.start(segment_bytes=100_000)
    for name in "abc":
        process.spool.append(ended(name))
    process.kill()
    (segment,) = process.spool.folder.iterdir()
    data = bytearray(segment.read_bytes())
    data[len(HEADER) + len(frame(encode(ended("a")))) + 20] ^= 0xFF
    segment.write_bytes(bytes(data))
    done = world.adopt()
    assert (done.booked, len(done.damaged), world.ids) == (2, 1, ["a", "c"])
    assert world.folders == ["damaged"]
    assert (world.root / "damaged" / f"{process.spool.name}-{segment.name}").read_bytes() == bytes(data)


def test_a_record_of_an_unknown_kind_is_reported_and_its_file_kept(world: World) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    process.kill(frame(b"\x91\x63"))
    assert len(world.adopt().damaged) == 1
    assert (world.ids, world.folders) == (["a"], ["damaged"])


def test_a_spool_of_a_newer_version_is_left_alone(world: World) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    process.kill()
    (segment,) = process.spool.folder.iterdir()
    data = bytearray(segment.read_bytes())
    data[8] = 9
    segment.write_bytes(bytes(data))
    done = world.adopt()
    assert "format 9" in done.left[0]
    assert (world.ids, segment.read_bytes()) == ([], bytes(data))


def test_while_the_database_is_away_the_spool_grows_and_nothing_is_lost(world: World) -> None:
    process = world.start()
    world.database.fail = lambda count: "refused"
    for number in range(30):
        process.spool.append(ended(f"call_{number:02}"))
        with pytest.raises(Unavailable):
            process.flush()
    world.database.fail = None
    assert process.flush().booked == 30
    assert len(world.ids) == 30


def test_what_a_process_has_just_written_is_not_read_back(world: World) -> None:
    process = world.start()
    for number in range(STRETCH + 5):
        process.spool.append(opened(f"{number:05}"))
        process.spool.append(ended(f"{number:05}"))
    assert (process.flush().booked, process.disk.read_count) == (STRETCH + 5, 0)
    process.spool.append(ended("later", model="\ud800", tags={"long": "x" * 100_000}))
    assert (process.flush().booked, process.disk.read_count) == (1, 0)
    assert world.database.rows()[-1] == ended("later", model="?", tags={}), "as the spool has cut it"
    assert process.disk.names(process.spool.folder)[1:] == [], "all but the last segment are done with"
    process.kill()
    assert world.adopt().booked == 0


@pytest.mark.parametrize("failure", ["refused", "answer lost"])
def test_after_a_move_that_failed_the_records_are_read_and_then_at_hand_again(
    world: World, failure: Literal["refused", "answer lost"]
) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    world.database.fail = lambda count: failure
    with pytest.raises(Unavailable):
        process.flush()
    world.database.fail = None
    process.spool.append(ended("b"))
    process.flush()
    assert (world.ids, process.disk.read_count > 0) == (["a", "b"], True)
    process.disk.read_count = 0
    process.spool.append(ended("c"))
    assert (process.flush().booked, process.disk.read_count) == (1, 0)


def test_what_is_not_at_hand_any_more_is_read(world: World) -> None:
    process = world.start(segment_bytes=1_000_000)
    count = (MOST_STRETCHES + 2) * STRETCH
    for number in range(count):
        process.spool.append(ended(f"{number:05}"))
    assert (process.flush().booked, process.disk.read_count > 0) == (count, True)
    process.disk.read_count = 0
    process.spool.append(ended("later"))
    assert (process.flush().booked, process.disk.read_count) == (1, 0)


def test_behind_another_shipper_only_the_rest_is_booked(world: World) -> None:
    process = world.start()
    process.spool.append(ended("a"))
    process.flush()
    process.spool.append(ended("b"))
    asyncio.run(world.passer_by(everyones=True).flush())
    process.spool.append(ended("c"))
    assert process.flush().booked == 1
    process.disk.read_count = 0
    process.spool.append(ended("d"))
    assert (process.flush().booked, process.disk.read_count) == (1, 0)
    assert world.ids == ["a", "b", "c", "d"]


def test_a_call_that_is_open_keeps_its_segment_though_nothing_was_read(world: World) -> None:
    process = world.start()
    process.spool.append(opened("open"))
    for number in range(20):
        process.spool.append(ended(f"{number:02}"))
        process.flush()
    segments = process.disk.names(process.spool.folder)
    assert (segments[0], len(segments) > 1) == ("00000001.led", True)
    process.spool.append(CallProgressed(id="open", output=7))
    assert process.flush().running == 1
    process.kill()
    world.adopt()
    assert [row.usage.output for row in world.database.rows() if row.id == "open"] == [7]


def test_what_comes_while_a_pass_runs_waits_for_the_next(world: World) -> None:
    process = world.start()
    process.spool.append(ended("a"))

    def busy(count: int) -> None:
        process.spool.append(ended(f"meanwhile_{count}"))

    world.database.fail = busy
    assert (process.flush().booked, world.database.count) == (1, 1)
    world.database.fail = None
    assert process.flush().booked == 1


@pytest.mark.parametrize("failure", ["refused", "answer lost"])
def test_whichever_transaction_fails_each_record_is_booked_once(
    tmp_path: Path, failure: Literal["refused", "answer lost"]
) -> None:
    for failing in itertools.count(1):
        with memory_database() as database:
            world = World(tmp_path / str(failing), database)
            process = _busy_process(world)

            def fail(count: int, failing: int = failing) -> Literal["refused", "answer lost"] | None:
                return failure if count == failing else None

            database.fail = fail
            process.kill()
            _until_done(world)
            _all_booked_once(world)
            if database.count < failing:
                assert failing > 4
                return


def test_wherever_the_adopter_dies_the_next_one_finishes(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    for dying in itertools.count(1):
        with memory_database() as database:
            world = World(tmp_path / str(dying), database)
            _busy_process(world).kill()

            def fail(name: str, count: int, dying: int = dying) -> None:
                if count == dying:
                    raise Killed

            disk = ProcessDisk(fail)
            adopter = Shipper(database, world.root, clock=CLOCK, price=price, disk=disk)
            try:
                asyncio.run(adopter.flush())
            except Killed:
                disk.die()
            _until_done(world)
            _all_booked_once(world)
            if disk.count < dying:
                assert dying > 4
                return


def _busy_process(world: World) -> Process:
    process = world.start(segment_bytes=500)
    for number in range(8):
        process.spool.append(opened(f"call_{number}"))
        if number != 3:
            process.spool.append(ended(f"call_{number}"))
    return process


def _until_done(world: World) -> None:
    for _ in range(5):
        try:
            world.adopt()
        except Unavailable:
            continue
        if not world.folders:
            return
    pytest.fail(f"still there: {world.folders}")


def _all_booked_once(world: World) -> None:
    assert world.ids == [f"call_{number}" for number in range(8)]
    assert [row.id for row in world.database.rows() if row.error == "interrupted"] == ["call_3"]


def test_two_shippers_at_once_book_each_record_once(world: World) -> None:
    """Interleaved at every await: both look at the same batch before either books it."""
    process = world.start(segment_bytes=100_000)
    for number in range(300):
        process.spool.append(ended(f"call_{number:03}"))

    async def scenario() -> list[Flushed]:
        shippers = [process.shipper, *(world.passer_by(everyones=True) for _ in range(3))]
        return await asyncio.gather(*(shipper.flush() for shipper in shippers))

    done = asyncio.run(scenario())
    assert sum(each.booked for each in done) == 300
    assert len(world.ids) == 300


def test_the_task_rests_until_there_is_something_and_looks_at_others_now_and_then(world: World) -> None:
    clock = ManualClock()
    process, other = world.start(), world.start()
    shipper = Shipper(world.database, world.root, clock=clock, price=price, own=process.spool, disk=process.disk)

    async def settled() -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    async def passed(seconds: float) -> None:
        await settled()
        clock.advance(seconds)
        await settled()

    async def scenario() -> None:
        process.spool.append(ended("a"))
        running = asyncio.create_task(shipper.run())
        await passed(0.25)
        assert world.ids == ["a"]
        other.spool.append(ended("b"))
        other.kill()
        moves = world.database.count
        await passed(0.25)
        await passed(0.25)
        assert world.database.count == moves, "nothing has come, nobody was asked"
        process.spool.append(ended("c"))
        await passed(0.25)
        assert world.ids == ["a", "c"]
        await passed(OTHERS_S)
        await passed(0.25)
        assert world.ids == ["a", "b", "c"]
        running.cancel()

    asyncio.run(scenario())


def test_the_task_goes_on_after_an_outage_and_after_a_fault(world: World, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    process = world.start()
    shipper = Shipper(world.database, world.root, clock=clock, price=price, own=process.spool, disk=process.disk)

    async def scenario() -> None:
        running = asyncio.create_task(shipper.run())
        process.spool.append(ended("a"))
        for failure in (_refusing, _broken, None):
            world.database.fail = failure
            for _ in range(30):
                await asyncio.sleep(0)
                clock.advance(6)
        running.cancel()

    asyncio.run(scenario())
    assert world.ids == ["a"]
    causes = [record.exc_info[0] if record.exc_info else None for record in caplog.records]
    assert causes == [None, RuntimeError]


def _refusing(count: int) -> Literal["refused"]:
    return "refused"


def _broken(count: int) -> None:
    raise RuntimeError("a fault of our own")


Action = tuple[str, int]
ACTIONS: st.SearchStrategy[list[Action]] = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "start",
                "open",
                "open",
                "progress",
                "end",
                "end",
                "end",
                "ship",
                "ship",
                "pass by",
                "ship everyone's",
                "kill",
                "kill torn",
                "close",
                "refuse",
                "lose answer",
            ]
        ),
        st.integers(0, 1_000),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_any_order_of_calls_crashes_and_shipping_books_each_call_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, actions: list[Action]
) -> None:
    with memory_database() as database:
        world = World(tmp_path_factory.mktemp("world") / "spool", database)
        Play(world).perform(actions)


class Play:
    """Performs actions on a world, and knows what must come out: which calls started, and how they ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alive: list[Process] = []
        self.shippers = [world.passer_by(), world.passer_by(everyones=True)]
        self.started: set[str] = set()
        self.ended: set[str] = set()

    def perform(self, actions: list[Action]) -> None:
        steps: dict[str, Callable[[int], object]] = {
            "start": self.start,
            "open": self.open,
            "progress": self.progress,
            "end": self.end,
            "ship": lambda number: self.flush(self.process(number).shipper),
            "pass by": lambda number: self.flush(self.shippers[0]),
            "ship everyone's": lambda number: self.flush(self.shippers[1]),
            "kill": lambda number: self.kill(number, b""),
            "kill torn": lambda number: self.kill(number, frame(b"x" * 50)[: number % 57 + 1]),
            "close": self.close,
            "refuse": lambda number: self.fail("refused", number),
            "lose answer": lambda number: self.fail("answer lost", number),
        }
        for name, number in actions:
            steps[name](number)
            self.check_no_living_call_is_interrupted()
        self.world.database.fail = None
        for process in self.alive:
            process.kill()
        self.flush(self.shippers[0])
        rows = {row.id: row for row in self.world.database.rows()}
        assert set(rows) == self.started
        assert {row.id for row in rows.values() if row.error == "interrupted"} == self.started - self.ended
        assert (self.world.folders, self.world.database.places()) == ([], {})

    def process(self, number: int) -> Process:
        return self.alive[number % len(self.alive)] if self.alive else self.start(number)

    def start(self, number: int) -> Process:
        process = self.world.start(segment_bytes=300 + number)
        self.alive.append(process)
        return process

    def open(self, number: int) -> None:
        process = self.process(number)
        call_id = f"call_{len(self.started):04}"
        process.spool.append(opened(call_id))
        process.open.append(call_id)
        self.started.add(call_id)

    def progress(self, number: int) -> None:
        process = self.process(number)
        if process.open:
            process.spool.append(CallProgressed(id=process.open[number % len(process.open)], output=number))

    def end(self, number: int) -> None:
        process = self.process(number)
        if not process.open:
            self.open(number)
        if process.open:
            call_id = process.open.pop(number % len(process.open))
            process.spool.append(ended(call_id))
            self.ended.add(call_id)

    def kill(self, number: int, torn: bytes) -> None:
        if self.alive:
            self.alive.pop(number % len(self.alive)).kill(torn)

    def close(self, number: int) -> None:
        if self.alive:
            asyncio.run(self.alive.pop(number % len(self.alive)).spool.close())

    def flush(self, shipper: Shipper) -> None:
        try:
            asyncio.run(shipper.flush())
        except Unavailable:
            self.world.database.fail = None

    def fail(self, failure: Literal["refused", "answer lost"], number: int) -> None:
        at = self.world.database.count + 1 + number % 4
        self.world.database.fail = lambda count: failure if count == at else None

    def check_no_living_call_is_interrupted(self) -> None:
        living = {call_id for process in self.alive for call_id in process.open}
        assert not living & set(self.world.ids)
