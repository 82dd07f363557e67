"""kill -9 of a process that books calls under load: what it acknowledged is there, once, whenever it died."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from sqlalchemy import select

from undercroft.clock import SystemClock
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.prices import PriceBook
from undercroft.ledger.shipping import Shipper
from undercroft.ledger.verify import verify
from undercroft.storage.engine import open_database
from undercroft.storage.schema import calls

ROOT = Path(__file__).parents[3]
KILLS = 8
ANSWERS = 2000

WRITER = """
import asyncio, os, sys
from pathlib import Path
from tests.support.ledger import ended, opened
from undercroft.clock import SystemClock
from undercroft.ids import Ids
from undercroft.ledger.shipping import Shipper
from undercroft.ledger.spool import Spool
from undercroft.storage.engine import open_database

async def caller(spool, ids):
    while True:
        call_id = ids.new("req_")
        spool.append(opened(call_id))
        os.write(1, b"o" + call_id.encode() + b"\\n")
        await asyncio.sleep(0.0005)
        spool.append(ended(call_id))
        os.write(1, b"e" + call_id.encode() + b"\\n")

async def main(folder):
    clock = SystemClock()
    ids = Ids(clock)
    database = open_database(None, data_dir=folder, pool_size=2, clock=clock)
    spool = Spool(folder / "spool", clock=clock, ids=ids, segment_bytes=30_000)
    shipper = Shipper(database, folder / "spool", clock=clock, price=lambda opened: None, own=spool, interval_s=0.01)
    await asyncio.gather(spool.run(), shipper.run(), *(caller(spool, ids) for _ in range(8)))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_every_acknowledged_call_survives_kill_9_and_is_booked_once(tmp_path: Path) -> None:
    rng = random.Random(20260101)
    began: set[str] = set()
    over: set[str] = set()
    for _ in range(KILLS):
        told = _run_and_kill(tmp_path, answers=ANSWERS // KILLS, extra_s=rng.uniform(0, 0.1))
        began |= {line[1:] for line in told if line.startswith("o")}
        over |= {line[1:] for line in told if line.startswith("e")}
    assert len(over) >= ANSWERS

    database = open_database(None, data_dir=tmp_path, pool_size=2, clock=SystemClock())
    price = OpenedPrices(PriceBook(), ())
    asyncio.run(Shipper(database, tmp_path / "spool", clock=SystemClock(), price=price).flush())
    rows = {
        row.id: row.error
        for row in database.read_sync(lambda connection: connection.execute(select(calls.c.id, calls.c.error)).all())
    }
    # A call may have begun or ended on disk and its process died before it could say so, at most once a caller.
    assert over <= {call_id for call_id, error in rows.items() if not error}
    assert began <= set(rows)
    assert len(set(rows) - began) <= 8 * KILLS
    findings = database.read_sync(partial(verify, root=tmp_path / "spool"))
    assert (findings.faults, findings.waiting, findings.spools) == ([], 0, 0)
    print(f"{len(over)} ended calls over {KILLS} kills, {len(rows) - len(over)} interrupted or unsaid")
    database.close()


def _run_and_kill(folder: Path, *, answers: int, extra_s: float) -> list[str]:
    """What the process said it had on disk. The last line may be cut: it was not said."""
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)],
        stdout=write_end,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(write_end)
    said = b""
    deadline = time.monotonic() + 60
    with os.fdopen(read_end, "rb", buffering=0) as pipe:
        while said.count(b"\ne") < answers and time.monotonic() < deadline:
            said += pipe.read(65_536)
        time.sleep(extra_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        while more := pipe.read(65_536):
            said += more
    return said.decode().splitlines() if said.endswith(b"\n") else said.decode().splitlines()[:-1]
