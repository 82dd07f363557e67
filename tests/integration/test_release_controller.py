"""The duty of rollouts outlives the processes that do it: real servers, one of which is killed in the middle."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.support.background import upstream_in_background
from tests.support.release_server import Load, echo, failing, manage, promoted, release, status, toml_of
from tests.support.server import Server, run, serving, until
from tests.support.upstream import Upstream
from undercroft.access import audit
from undercroft.access.audit import Entry
from undercroft.clock import SystemClock
from undercroft.releases.controller import DUTY
from undercroft.storage.engine import Database, open_database
from undercroft.storage.schema import duties, events

STEP_S = 2.0
TAKING_OVER_S = 5.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as upstream:
        upstream.answers |= {"old": echo, "new": echo, "broken": failing}
        yield upstream


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgresql" else None


class Pair:
    """Two servers over one database; the first one looks after rollouts from the beginning."""

    def __init__(self, folder: Path, upstream: Upstream, url: str | None, stack: ExitStack) -> None:
        self.folder, self._url = folder, url
        extra = {"UNDERCROFT_DATA_DIR": str(folder / "first" / ".undercroft")}
        extra |= {"DATABASE_URL": url} if url else {}
        toml = toml_of(upstream, "old", "new", "broken", rest="[releases]\nleast_calls = 0\n")
        if url:
            (folder / "first").mkdir()
            assert run(folder / "first", "migrate", extra=extra, toml=toml).exit_code == 0
        self.first = stack.enter_context(serving(folder / "first", toml=toml, extra=extra))
        self.second = stack.enter_context(serving(folder / "second", toml=toml, extra=extra))

    def database(self) -> Database:
        data_dir = self.folder / "first" / ".undercroft"
        return open_database(self._url, data_dir=data_dir, pool_size=1, clock=SystemClock(), migrates=False)

    def start(self, candidate: str, plan: dict[str, object]) -> None:
        """Begins a rollout whose controller is the first server: the second stands still until it is."""
        os.killpg(self.second.pid, signal.SIGSTOP)
        try:
            manage(self.first, f"/releases/{candidate}/rollout", plan)
            until(self._is_held)
        finally:
            os.killpg(self.second.pid, signal.SIGCONT)

    def _is_held(self) -> bool:
        database = self.database()
        try:
            held = database.read_sync(lambda connection: connection.execute(select(duties.c.name)).scalars().all())
            return DUTY in held
        finally:
            database.close()


def past(server: Server, count: int = 60) -> None:
    """Calls to compare with."""
    for number in range(count):
        assert server.chat("hi", model="support", user=str(number)).status == 200
    time.sleep(1.5)  # what was booked is in the database


def moves(server: Server) -> list[str]:
    return [move["move"] for move in status(server)["moves"]][::-1]


def kill(server: Server) -> float:
    """kill -9 of a server with all its processes; when that was."""
    os.killpg(server.pid, signal.SIGKILL)
    server.process.wait()
    return time.monotonic()


def written(pair: Pair) -> tuple[list[Entry], list[str]]:
    """The audit log's entries of releases, and the types of their events."""
    database = pair.database()
    try:
        assert not database.read_sync(audit.verify).fault
        entries = database.read_sync(lambda connection: list(audit.every_entry(connection)))
        rows = database.read_sync(
            lambda connection: connection.execute(select(events.c.type).order_by(events.c.number)).scalars().all()
        )
    finally:
        database.close()
    return [entry for entry in entries if entry.action.startswith("release.")], [
        each for each in rows if each.startswith("release.")
    ]


def test_another_process_goes_on_with_a_canary_whose_controller_was_killed(
    tmp_path: Path, upstream: Upstream, url: str | None
) -> None:
    with ExitStack() as stack:
        pair = Pair(tmp_path, upstream, url, stack)
        old, new = release(pair.first, "old"), release(pair.first, "new")
        promoted(pair.first, old)
        past(pair.first)
        pair.start(new, {"steps": [0.1, 0.2, 0.3], "bake_s": STEP_S})
        until(lambda: "advanced" in moves(pair.first))

        killed = kill(pair.first)
        before = len(moves(pair.second))
        until(lambda: len(moves(pair.second)) > before, within_s=STEP_S + TAKING_OVER_S * 2)
        print(f"\nthe next move came {time.monotonic() - killed:.1f} s after kill -9, of steps of {STEP_S} s")
        until(lambda: status(pair.second)["current"] == new, within_s=3 * STEP_S + TAKING_OVER_S * 2)

        assert moves(pair.second) == ["promoted", "started", "advanced", "advanced", "promoted"]
        entries, facts = written(pair)
        assert [entry.action for entry in entries if entry.action != "release.create"] == [
            "release.promoted", "release.started", "release.advanced", "release.advanced", "release.promoted"
        ]  # fmt: skip
        assert {entry.actor for entry in entries[-3:]} == {"controller"}
        assert facts[-4:] == ["release.started", "release.advanced", "release.advanced", "release.promoted"]
        counted = {f'ai_release_moves_total{{move="{move}"}} 2' for move in ("promoted", "advanced")}
        until(lambda: counted <= set(pair.second.ask("/metrics").body.decode().splitlines()))  # by whichever server


def test_a_breach_after_the_controller_was_killed_is_rolled_back_by_another_process(
    tmp_path: Path, upstream: Upstream, url: str | None
) -> None:
    with ExitStack() as stack:
        pair = Pair(tmp_path, upstream, url, stack)
        old, broken = release(pair.first, "old"), release(pair.first, "broken")
        promoted(pair.first, old)
        past(pair.first)
        with Load(pair.second, users=8, pause_s=0.02).running() as load:
            pair.start(broken, {"steps": [0.5], "bake_s": 600})
            killed = kill(pair.first)
            until(lambda: status(pair.second)["rollout"]["state"] == "rolled_back", within_s=60)
            back = time.monotonic()
            until(lambda: load.only(old, since=back), within_s=TAKING_OVER_S)

        found = status(pair.second)
        assert found["rollout"]["reason"].startswith("errors: ")
        made_the_breach = found["moves"][0]["evidence"]["counts"]["candidate_bad"]
        failed = sorted(at for at, _, of, _ in load.everything() if of == broken)
        breached = failed[min(made_the_breach, len(failed)) - 1]
        took_s = failed[-1] - max(killed, breached)
        print(f"\nthe candidate's last answer came {took_s:.1f} s after the breach or kill -9, whichever was later")
        assert took_s <= 2 * TAKING_OVER_S  # this machine has other things to do than this
