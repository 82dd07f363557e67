"""Jobs that come at once share a transaction; what becomes of each is its own."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from tests.support.jobs import KeptEffects, spec
from undercroft.clock import SystemClock
from undercroft.errors import Conflict, Unavailable
from undercroft.jobs.acceptance import AT_ONCE, BYTES_AT_ONCE, Acceptance
from undercroft.jobs.claims import Claim
from undercroft.jobs.types import Accepted, Job
from undercroft.storage.engine import Database, open_database

T = TypeVar("T")


class Counting:
    """A database that counts its transactions, and can be away."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.writes = 0
        self.is_away = False

    async def read(self, work: Callable[[Connection], T], /) -> T:
        return await self.database.read(work)

    async def write(self, work: Callable[[Connection], T], /) -> T:
        self.writes += 1
        if self.is_away:
            raise Unavailable("away")
        return await self.database.write(work)


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Counting]:
    database = open_database(None, data_dir=tmp_path, pool_size=1, clock=SystemClock())
    yield Counting(database)
    database.close()


def accepting(counting: Counting, room: "Roomy | None" = None) -> Acceptance:
    return Acceptance(counting, effects=KeptEffects(), room=room, clock=SystemClock())


class Roomy:
    """A crew with room for two that never fills."""

    def __init__(self) -> None:
        self.filled: list[str] = []
        self.lost: list[bool] = []
        self.lent = 0

    def lend(self) -> Claim | None:
        self.lent += 1
        return Claim(worker="me", token=f"token-{self.lent}", lease_us=1, queues=("default",), limit=2)

    def fill(self, asked: Claim, jobs: Sequence[Job], /) -> None:
        assert {job.token for job in jobs} <= {asked.token}
        self.filled += [job.id for job in jobs]

    def lose(self, asked: Claim, /, *, is_doubtful: bool) -> None:
        self.lost.append(is_doubtful)


async def all_of(acceptance: Acceptance, count: int, **fields: Any) -> list[str]:
    accepted = await asyncio.gather(*(acceptance.accept(spec(f"job_{place}", **fields)) for place in range(count)))
    return [each.job.id for each in accepted]


def test_jobs_that_come_at_once_share_a_transaction_and_each_gets_its_own(counting: Counting) -> None:
    count = 2 * AT_ONCE + 1
    assert asyncio.run(all_of(accepting(counting), count)) == [f"job_{place}" for place in range(count)]
    assert counting.writes == 3


def test_large_inputs_do_not_pile_up_in_one_statement(counting: Counting) -> None:
    large = b'"' + b"x" * (BYTES_AT_ONCE // 2) + b'"'
    asyncio.run(all_of(accepting(counting), 3, input=large))
    assert counting.writes == 3


def test_jobs_with_a_key_go_alone_and_are_one_job(counting: Counting) -> None:
    assert asyncio.run(all_of(accepting(counting), 3, idempotency_key="k")) == ["job_0"] * 3
    assert counting.writes == 3


def test_a_job_that_cannot_be_written_fails_alone(counting: Counting) -> None:
    async def hand_in() -> list[object]:
        acceptance = accepting(counting)
        await acceptance.accept(spec("job_0"))
        return await asyncio.gather(
            *(acceptance.accept(spec(f"job_{place}")) for place in range(3)), return_exceptions=True
        )

    taken, *rest = asyncio.run(hand_in())
    assert "job_0" in str(taken), "its id is taken"
    assert [each.job.id for each in rest] == ["job_1", "job_2"]  # type: ignore[attr-defined]


def test_while_the_database_is_away_everybody_is_told_and_later_ones_are_taken(counting: Counting) -> None:
    async def hand_in() -> list[object]:
        acceptance = accepting(counting)
        counting.is_away = True
        refused = await asyncio.gather(
            *(acceptance.accept(spec(f"job_{place}")) for place in range(3)), return_exceptions=True
        )
        counting.is_away = False
        return [*refused, await all_of(acceptance, 1)]

    *refused, taken = asyncio.run(hand_in())
    assert all(isinstance(each, Unavailable) for each in refused)
    assert taken == ["job_0"]


def test_a_caller_that_left_takes_nobody_along(counting: Counting) -> None:
    async def hand_in() -> str:
        acceptance = accepting(counting)
        leaving = asyncio.create_task(acceptance.accept(spec("job_0")))
        staying = asyncio.create_task(acceptance.accept(spec("job_1")))
        await asyncio.sleep(0)
        leaving.cancel()
        return (await staying).job.id

    assert asyncio.run(hand_in()) == "job_1"


def test_a_crew_with_room_gets_its_jobs_in_the_same_transaction(counting: Counting) -> None:
    room = Roomy()

    async def hand_in() -> list[Accepted]:
        acceptance = accepting(counting, room)
        return await asyncio.gather(*(acceptance.accept(spec(f"job_{place}")) for place in range(3)))

    taken = asyncio.run(hand_in())
    assert room.filled == ["job_0", "job_1"]
    assert [each.is_placed for each in taken] == [True, True, False], "somebody has to be told of the third"
    assert {each.job.state for each in taken} == {"queued"}, "as it was taken"
    assert counting.writes == 1


def test_the_room_is_given_back_when_nothing_could_be_written(counting: Counting) -> None:
    room = Roomy()

    async def hand_in() -> None:
        acceptance = accepting(counting, room)
        counting.is_away = True
        with pytest.raises(Unavailable):
            await acceptance.accept(spec("job_0"))
        counting.is_away = False
        await acceptance.accept(spec("job_0"))
        with pytest.raises(Conflict):
            await acceptance.accept(spec("job_0"))

    asyncio.run(hand_in())
    assert room.lost == [True, False], "what broke off may have been committed"
    assert room.filled == ["job_0"]
