"""kill -9 of a serving process: what a client saw finished is in the books once, what it did not is booked too."""

import os
import random
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import msgspec

from tests.support.server import SCRIPTED, Server, ledger_rows, run, started, until

ANSWERS = int(os.environ.get("UNDERCROFT_KILL_ANSWERS", "600"))
"""Finished answers to see in all; UNDERCROFT_KILL_ANSWERS=20000 for a long night."""
CALLERS = 8
KILLS = 4
BODY = msgspec.json.encode({"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True})


def call(port: int) -> str | None:
    """The request's id once its last byte was read; None when the server went away first."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", BODY, {"content-type": "application/json"})
        answer = connection.getresponse()
        request_id = answer.headers["x-request-id"]
        return request_id if answer.read().endswith(b"data: [DONE]\n\n") else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def under_load(server: Server, finished: list[str], enough: int, rng: random.Random) -> None:
    """Calls from several threads until `enough` have finished, then kill -9 in the middle of the next ones."""
    stop = threading.Event()

    def keep_calling() -> None:
        while not stop.is_set():
            request_id = call(server.port)
            if request_id is not None:
                finished.append(request_id)

    threads = [threading.Thread(target=keep_calling) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(finished) >= enough, within_s=120)
        time.sleep(rng.uniform(0, 0.05))
        server.kill()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_every_answer_that_was_seen_to_its_end_is_booked_exactly_once(tmp_path: Path) -> None:
    finished: list[str] = []
    rng = random.Random(9)
    for life in range(1, KILLS + 1):
        with started(tmp_path, toml=SCRIPTED) as server:
            under_load(server, finished, ANSWERS * life // KILLS, rng)

    assert run(tmp_path, "usage", "--json").exit_code == 0
    rows = ledger_rows(tmp_path)
    booked = [row.id for row in rows]
    assert len(booked) == len(set(booked))
    assert set(finished) <= set(booked)
    assert all(row.status == 200 for row in rows if row.id in set(finished))
    # What was under way when the process died is there as well, and known as such.
    assert {row.error for row in rows if row.status != 200} <= {"interrupted", "client_closed"}
    assert run(tmp_path, "ledger", "verify").exit_code == 0


def test_a_restarted_server_ships_what_its_dead_predecessor_left(tmp_path: Path) -> None:
    slow_shipping = f"{SCRIPTED}\n[ledger]\nship_interval_s = 3600.0\n"
    with started(tmp_path, toml=slow_shipping) as server:
        seen = [call(server.port) for _ in range(20)]
        server.kill()
    assert ledger_rows(tmp_path) == []

    with started(tmp_path, toml=SCRIPTED):
        until(lambda: len(ledger_rows(tmp_path)) == 20)
    assert {row.id for row in ledger_rows(tmp_path)} == set(seen)
    assert not list((tmp_path / ".undercroft" / "spool").glob("spool_*"))
