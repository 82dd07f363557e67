"""kill -9 of a serving process: what a client saw finished is in the books once, what it did not is booked too."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from sqlalchemy import Connection, select

from tests.support.background import upstream_in_background
from tests.support.server import SCRIPTED, Server, ledger_rows, run, serving, started, until
from tests.support.upstream import Upstream
from undercroft.clock import SystemClock
from undercroft.ledger.slice_stores.sql import SETTLED
from undercroft.storage.engine import open_database
from undercroft.storage.schema import slices

T = TypeVar("T")

ANSWERS = int(os.environ.get("UNDERCROFT_KILL_ANSWERS", "2000"))
"""Finished answers to see in all; UNDERCROFT_KILL_ANSWERS=200000 for a long night."""
CALLERS = 8
KILLS = 4
SERVES_AGAIN_S = 2.0
SLACK = 10
LIMITED = """
[[limits.rules]]
per = "user"
period = "total"
tokens = 1000000000
spend = "1000000"

[[limits.rules]]
per = "user"
concurrent = 1000
"""
"""Wide enough for all, and counted to the last token."""
LONGEST_LEASE_S = 15.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        yield running


@dataclass
class Seen:
    """What the clients have seen: ids of answers that began, and of those that came to their end."""

    began: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    def call(self, port: int, *, model: str, stream: bool) -> None:
        """One call, whose server may go away at any point of it."""
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(
                "POST", "/v1/chat/completions", msgspec.json.encode(body), {"content-type": "application/json"}
            )
            answer = connection.getresponse()
            request_id = answer.headers["x-request-id"]
            self.began.append(request_id)
            if answer.read().endswith(b"data: [DONE]\n\n" if stream else b"}"):
                self.finished.append(request_id)
        except (OSError, HTTPException):
            return
        finally:
            connection.close()


def under_load(server: Server, seen: Seen, enough: int, rng: random.Random) -> None:
    """Calls from several threads until `enough` have finished, then kill -9 in the middle of the next ones."""
    stop = threading.Event()

    def keep_calling(number: int) -> None:
        while not stop.is_set():
            seen.call(server.port, model="fake" if number % 4 else "chat", stream=bool(number % 2))

    threads = [threading.Thread(target=keep_calling, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(seen.finished) >= enough, within_s=60 + ANSWERS / 20)
        time.sleep(rng.uniform(0, 0.05))
        server.kill()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_every_answer_that_was_seen_to_its_end_is_booked_exactly_once(upstream: Upstream, tmp_path: Path) -> None:
    fake = '[[models]]\nname = "fake"\n[[models.deployments]]\nprovider = "openai_compatible"\n'
    toml = f'{SCRIPTED}{fake}base_url = "{upstream.base_url}"\nprice = {{ input = "1", output = "2" }}\n{LIMITED}'
    seen, rng = Seen(), random.Random(9)
    for life in range(1, KILLS + 1):
        begun = time.monotonic()
        with serving(tmp_path, toml=toml) as server:
            assert time.monotonic() - begun < SERVES_AGAIN_S * SLACK
            under_load(server, seen, ANSWERS * life // KILLS, rng)

    with serving(tmp_path, toml=toml):  # frees what the last of the dead held
        until(lambda: not holders(tmp_path), within_s=LONGEST_LEASE_S * SLACK, every_s=0.2)
    assert run(tmp_path, "usage", "--json").exit_code == 0
    rows = {row.id: row for row in ledger_rows(tmp_path)}
    assert len(rows) == len(ledger_rows(tmp_path))
    assert set(seen.finished) <= set(rows)
    assert {rows[each].status for each in seen.finished} == {200}
    # What was under way when the process died is there as well, and known as such.
    cut = [rows[each] for each in seen.began if each not in set(seen.finished)]
    unsaid = [row for row in rows.values() if row.id not in set(seen.began)]
    assert {(row.status, row.error) for row in [*cut, *unsaid]} <= {(200, ""), (499, "interrupted")}
    assert len(unsaid) <= CALLERS * KILLS
    interrupted = [row for row in rows.values() if row.error]
    assert interrupted
    assert all(row.usage_estimated and row.input_tokens and row.cost_nano for row in interrupted)
    counted = settled(tmp_path)
    assert counted == {
        "spend": sum(row.cost_nano for row in rows.values()),
        "tokens": sum(row.input_tokens + row.output_tokens for row in rows.values()),
    }
    verified = run(tmp_path, "ledger", "verify", "--json")
    assert verified.exit_code == 0, verified
    assert msgspec.json.decode(verified.stdout)["balances"] == len(counted)
    print(f"{len(seen.finished)} finished answers over {KILLS} kills: all booked; {len(interrupted)} interrupted")


def read(folder: Path, work: Callable[[Connection], T]) -> T:
    database = open_database(None, data_dir=folder / ".undercroft", pool_size=1, clock=SystemClock(), migrates=False)
    try:
        return database.read_sync(work)
    finally:
        database.close()


def holders(folder: Path) -> set[str]:
    """The processes that hold a part of a limit, the dead included."""
    held = select(slices.c.owner).where(slices.c.owner != SETTLED, slices.c.amount > 0)
    return read(folder, lambda connection: set(connection.execute(held).scalars()))


def settled(folder: Path) -> dict[str, int]:
    """What limits on tokens and money count as used, by their measure."""
    sums = select(slices.c.name, slices.c.amount).where(slices.c.owner == SETTLED)
    rows = read(folder, lambda connection: list(connection.execute(sums).all()))
    return {measure: row.amount for row in rows for measure in ("spend", "tokens") if measure in row.name}


def test_a_restarted_server_ships_what_its_dead_predecessor_left(tmp_path: Path) -> None:
    seen = Seen()
    with started(tmp_path, toml=f"{SCRIPTED}\n[ledger]\nship_interval_s = 3600.0\n") as server:
        for number in range(20):
            seen.call(server.port, model="chat", stream=bool(number % 2))
        server.kill()
    assert len(seen.finished) == 20
    assert ledger_rows(tmp_path) == []

    with started(tmp_path, toml=SCRIPTED):
        until(lambda: len(ledger_rows(tmp_path)) == 20)
    assert {row.id for row in ledger_rows(tmp_path)} == set(seen.finished)
    assert not list((tmp_path / ".undercroft" / "spool").glob("spool_*"))
