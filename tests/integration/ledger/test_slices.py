"""A limit shared by real processes, each with several threads, on both databases."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from tests.support.processes import output, python
from undercroft.clock import SystemClock
from undercroft.ledger.slice_stores.sql import SETTLED, SqlSliceStore
from undercroft.ledger.slices import Slice, Window
from undercroft.storage.engine import open_database
from undercroft.storage.schema import slices

LIMIT = 5000
LARGEST = 9
PROCESSES = 3
THREADS = 3
LEASE_S = 2.0
WINDOW = Window(organisation="default", name="budget", id="now", ends_us=2**62)

SPENDER = """
import asyncio, os, random, sys, threading, time
from pathlib import Path
from undercroft.clock import SystemClock
from undercroft.ledger.slice_stores.sql import SqlSliceStore
from undercroft.ledger.slices import Slice, Window
from undercroft.storage.engine import open_database

url, folder, name, limit, largest, lease_s = sys.argv[1:]
clock = SystemClock()
database = open_database(url or None, data_dir=Path(folder), pool_size=3, clock=clock)
store = SqlSliceStore(database, clock=clock, lease_s=float(lease_s))
window = Window(organisation="default", name="budget", id="now", ends_us=2**62)

async def spend(owner):
    held, spent, rng = Slice(window=window, owner=owner), 0, random.Random(owner)
    while True:
        amount = rng.randint(1, int(largest))
        if held.amount - spent < amount:
            held = await store.lease(held, amount, limit=int(limit))
        if held.amount - spent < amount:
            break
        spent += amount
        await asyncio.sleep(0.002)
        os.write(1, f"{owner} {amount}\\n".encode())
    assert not held.token or await store.settle(held, spent)

print("ready", flush=True)
while not Path(folder, "go").exists():
    time.sleep(0.001)
threads = [threading.Thread(target=asyncio.run, args=(spend(f"{name}/{number}"),)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
database.close()
"""


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_processes_spend_no_more_than_the_limit_and_what_the_dead_spent_is_counted(
    dialect: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if dialect == "postgresql" else ""
    database = open_database(url or None, data_dir=tmp_path, pool_size=2, clock=SystemClock())
    database.migrate()
    spent: Counter[str] = Counter()
    with ExitStack() as stack:
        doomed, *others = [
            stack.enter_context(python(SPENDER, url, tmp_path, f"process-{number}", LIMIT, LARGEST, LEASE_S))
            for number in range(PROCESSES)
        ]
        for process in (doomed, *others):
            assert output(process).readline() == "ready\n"
        (tmp_path / "go").touch()
        for _ in range(50):
            count(output(doomed).readline(), spent)
        doomed.kill()
        for process in (doomed, *others):
            for line in output(process):
                count(line, spent)
        assert [process.wait() for process in others] == [0] * len(others)

    store = SqlSliceStore(database, clock=SystemClock(), lease_s=LEASE_S)
    assert 1 <= asyncio.run(recover(store, spent)) <= THREADS
    total = spent.total()
    assert LIMIT / 2 < total <= LIMIT
    assert database.read_sync(rows) == {SETTLED: total}
    rest = asyncio.run(store.lease(Slice(window=WINDOW, owner="late"), LIMIT - total, limit=LIMIT))
    assert rest is not None
    assert rest.amount == LIMIT - total
    database.close()


async def recover(store: SqlSliceStore, spent: Counter[str]) -> int:
    """Settles what the dead process left, as soon as its leases have run out."""
    await asyncio.sleep(LEASE_S)
    frozen = await store.freeze()
    assert all([await store.settle(one, spent[one.owner]) for one in frozen])
    return len(frozen)


def count(line: str, spent: Counter[str]) -> None:
    owner, _, amount = line.partition(" ")
    spent[owner] += int(amount)


def rows(connection: Connection) -> dict[str, int]:
    return {row.owner: row.amount for row in connection.execute(select(slices.c.owner, slices.c.amount))}
