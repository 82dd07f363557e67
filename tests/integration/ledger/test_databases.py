"""Shipping, sums and proofs on the real databases."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from tests.support.ledger import ProcessDisk, ended, opened
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.ledger.entries import record_of
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.prices import PriceBook
from undercroft.ledger.shipping import Flushed, Shipper
from undercroft.ledger.spool import Spool
from undercroft.ledger.usage import Grouping, sum_usage
from undercroft.ledger.verify import verify
from undercroft.record import CallRecord, Usage
from undercroft.storage.engine import Database, open_database
from undercroft.storage.schema import calls

CLOCK = SystemClock()
PRICE = OpenedPrices(PriceBook(), ())


def spool(root: Path, disk: ProcessDisk | None = None) -> Spool:
    return Spool(root, clock=CLOCK, ids=Ids(CLOCK), segment_bytes=20_000, disk=disk)


def booked(database: Database) -> Sequence[CallRecord]:
    def work(connection: Connection) -> list[CallRecord]:
        return [record_of(row) for row in connection.execute(select(calls).order_by(calls.c.id)).mappings()]

    return database.read_sync(work)


def test_a_record_comes_back_as_it_was(database: Database, tmp_path: Path) -> None:
    process = spool(tmp_path / "spool")
    record = ended("a", tags={"team": "blue", "ünï": "☃"}, usage=Usage(input=10**12), cost_nano=10**15, streamed=True)
    process.append(record)
    process.append(ended("b", end_user="nul\0", tags={"nul\0": "\0"}))

    async def scenario() -> Flushed:
        return await Shipper(database, tmp_path / "spool", clock=CLOCK, price=PRICE, own=process).flush()

    assert asyncio.run(scenario()).booked == 2
    first, second = booked(database)
    assert first == record
    assert (second.end_user, second.tags) == ("nul\ufffd", {"nul\ufffd": "\ufffd"})
    asyncio.run(process.close())


def test_shippers_that_race_for_a_dead_and_a_living_spool_book_every_call_once(
    database: Database, tmp_path: Path
) -> None:
    root = tmp_path / "spool"
    disk = ProcessDisk()
    dead, living = spool(root, disk), spool(root)
    for number in range(500):
        dead.append(opened(f"dead_{number:03}", deployment="gpt-5-mini/0", model="gpt-5-mini"))
        if number % 100:
            dead.append(ended(f"dead_{number:03}"))
        living.append(ended(f"living_{number:03}"))
    disk.die(torn=b"half")

    async def scenario() -> list[Flushed]:
        own = Shipper(database, root, clock=CLOCK, price=PRICE, own=living)
        others = [Shipper(database, root, clock=CLOCK, price=PRICE, everyones=True) for _ in range(3)]
        return await asyncio.gather(*(shipper.flush() for shipper in (own, *others)))

    done = asyncio.run(scenario())
    assert sum(each.interrupted for each in done) == 5
    rows = booked(database)
    assert len(rows) == len({row.id for row in rows}) == 1000
    assert {row.price for row in rows} == {"genai-prices 0.2.3 0.25/2/0.025"}
    findings = database.read_sync(partial(verify, root=root))
    assert (findings.calls, findings.faults) == (1000, [])
    asyncio.run(living.close())


@pytest.mark.parametrize("by", ["total", "key", "model", "provider", "day", "hour", "tag"])
def test_sums_are_the_same_on_both_databases(database: Database, tmp_path: Path, by: Grouping) -> None:
    process = spool(tmp_path / "spool")
    for number in range(20):
        process.append(ended(f"call_{number:02}", cost_nano=10**15 - number, price="" if number == 4 else "settings"))

    async def scenario() -> None:
        await Shipper(database, tmp_path / "spool", clock=CLOCK, price=PRICE, own=process).flush()

    asyncio.run(scenario())
    tag = "project" if by == "tag" else ""
    (line,) = database.read_sync(partial(sum_usage, organisation="default", by=by, tag=tag))
    groups = {
        "tag": "",
        "hour": "2026-01-01T00:00Z",
        "total": "",
        "key": "key_1",
        "model": "chat",
        "provider": "openai",
        "day": "2026-01-01",
    }
    assert (line.group, line.calls, line.unpriced) == (groups[by], 20, 1)
    assert line.cost_nano == 20 * 10**15 - 190
    asyncio.run(process.close())


def test_a_database_that_goes_and_comes_back_loses_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres_server")
    url = request.getfixturevalue("postgres_url")
    database = open_database(url, data_dir=tmp_path, pool_size=2, clock=CLOCK)
    database.migrate()
    process = spool(tmp_path / "spool")
    shipper = Shipper(database, tmp_path / "spool", clock=CLOCK, price=PRICE, own=process)

    async def scenario() -> None:
        process.append(ended("before"))
        await shipper.flush()
        server.stop()
        try:
            for number in range(50):
                process.append(ended(f"while_{number:02}"))
            with pytest.raises(Unavailable):
                await shipper.flush()
        finally:
            server.start()
        assert (await shipper.flush()).booked == 50
        await process.close()

    asyncio.run(scenario())
    assert len(booked(database)) == 51
    database.close()
