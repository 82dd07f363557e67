"""Words that are said in the database, and how few of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from undercroft.errors import Unavailable
from undercroft.jobs.queues.postgres import CHANNEL, Postgres

T = TypeVar("T")


@dataclass(frozen=True)
class Ref:
    id: str
    organisation: str = "default"
    queue: str = "default"


class Saying:
    """A connection, and the database that has it: it remembers what was said in each transaction."""

    def __init__(self) -> None:
        self.said: list[list[str]] = []
        self.is_away = False

    def exec_driver_sql(self, statement: str, values: dict[str, Any]) -> None:
        assert "pg_notify" in statement
        assert values["channel"] == CHANNEL
        self.said.append(values["words"])

    async def read(self, work: Callable[[Connection], T], /) -> T:
        return await self.write(work)

    async def write(self, work: Callable[[Connection], T], /) -> T:
        await asyncio.sleep(0)
        if self.is_away:
            raise Unavailable("The database is away.")
        return work(cast("Connection", self))


def test_jobs_that_come_while_something_is_said_share_the_next_word() -> None:
    async def main() -> None:
        database = Saying()
        queue = Postgres(database, wake=None)
        for number in range(50):
            await queue.deliver([Ref(f"job_{number}", queue="default" if number % 2 else "nightly")])
            if number == 0:
                await asyncio.sleep(0)  # the first is being said
        await queue.close()
        assert database.said == [["nightly"], ["default", "nightly"]]

    asyncio.run(main())


def test_a_database_that_is_away_costs_the_word_and_nothing_else() -> None:
    async def main() -> None:
        database = Saying()
        database.is_away = True
        queue = Postgres(database, wake=None)
        await queue.deliver([Ref("job_1")])
        await queue.close()
        database.is_away = False
        await queue.deliver([Ref("job_2")])
        await queue.close()
        assert database.said == [["default"]]

    asyncio.run(main())


def test_a_crew_in_the_same_process_is_woken_without_a_word() -> None:
    async def main() -> None:
        woken: list[bool] = []
        queue = Postgres(Saying(), wake=lambda: woken.append(True))
        await queue.deliver([Ref("job_1")])
        await queue.deliver([])
        assert woken == [True]
        await queue.close()

    asyncio.run(main())
