"""The configuration is replaced under running servers, while clients call: nobody notices but by what it changes."""

import os
import pty
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.background import upstream_in_background
from tests.support.http import Answer
from tests.support.server import SCRIPTED, SERVE, Server, serving, started, until
from tests.support.upstream import DONE, STREAM_HEAD, Request, Step, Upstream, delta, event
from tests.support.workers import Caller, Listener, children, one_each

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

RELOADS = 40
"""A run by hand did 200."""
CALLERS = 4
TWO = ("--workers", "2")
MASTER = "a-master-key-of-more-than-16-characters"


def slow(request: Request) -> Iterable[Step]:
    """A stream that lasts for several reloads."""
    yield STREAM_HEAD
    yield event(delta("one", role="assistant"))
    for _ in range(10):
        yield 0.05
        yield event(delta(" more"))
    yield event(delta(finish_reason="stop"))
    yield DONE


def long(request: Request) -> Iterable[Step]:
    """A stream of two seconds."""
    yield STREAM_HEAD
    yield event(delta("one", role="assistant"))
    for _ in range(20):
        yield 0.1
        yield event(delta(" more"))
    yield event(delta(finish_reason="stop"))
    yield DONE


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        running.answers |= {"slow": slow, "long": long}
        yield running


def models(upstream: Upstream, *names: str, key: str = "a-first-key") -> str:
    """These models, all behind the provider, which sees the key."""
    deployment = f'provider = "openai_compatible", base_url = "{upstream.base_url}", api_key = "{key}"'
    return "".join(f'[[models]]\nname = "{name}"\ndeployments = [{{ {deployment} }}]\n' for name in names)


def write(server: Server, toml: str) -> None:
    """As an editor does that is kind to readers: the file is whole at every moment."""
    whole = server.folder / "undercroft.toml.new"
    whole.write_text(toml)
    whole.rename(server.folder / "undercroft.toml")


def reload(server: Server, **request: Any) -> Answer:
    return server.ask("/api/v1/config/reload", method="POST", **request)


def generation(server: Server) -> int:
    return int(server.ask("/api/v1/config").json["generation"])


def settled(server: Server) -> None:
    """Each process has had its first look at the database."""
    until(lambda: all(server.ask("/health/ready").status == 200 for _ in range(8)), within_s=60)


def said(server: Server, event: str) -> list[dict[str, Any]]:
    return [line for line in server.events if line["event"] == event]


class Load:
    """Callers and listeners that go on until they are told to stop, and remember every answer that was not right."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self.answers = 0
        self.whole_streams = 0
        self.wrong: list[object] = []
        kinds = (self._call, self._listen)
        self._threads = [threading.Thread(target=kind) for kind in kinds for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self) -> None:
        """Returns after some more answers of both kinds."""
        answers, streams = self.answers + 2 * CALLERS, self.whole_streams + CALLERS
        until(lambda: (self.answers >= answers and self.whole_streams >= streams) or bool(self.wrong), within_s=60)

    def _call(self) -> None:
        caller = Caller(self._server)
        try:
            while not self._over.is_set():
                status = caller.chat()
                self.answers += 1
                if status != 200:
                    self.wrong.append(status)
        except (OSError, HTTPException) as error:
            self.wrong.append(error)
        finally:
            caller.close()

    def _listen(self) -> None:
        try:
            while not self._over.is_set():
                listener = Listener(self._server, model="slow")
                listener.join()
                self.whole_streams += listener.is_whole
                if not listener.is_whole:
                    self.wrong.append(listener.heard[-300:])
        except (OSError, HTTPException) as error:
            self.wrong.append(error)


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def open_connections(upstream: Upstream) -> int:
    return sum(not peer.closed.is_set() for peer in upstream.peers)


def test_reloads_under_load_fail_no_call_cut_no_stream_and_leave_nothing_behind(
    tmp_path: Path, upstream: Upstream
) -> None:
    with serving(tmp_path, toml=models(upstream, "chat", "slow")) as server:
        settled(server)
        with Load(server) as load:
            files, resident = open_files(server), 0
            for number in range(2, RELOADS + 2):
                write(server, models(upstream, "chat", "slow", key=f"the-key-of-reload-{number}"))
                if number % 2:
                    server.process.send_signal(signal.SIGHUP)
                    until(lambda number=number: generation(server) == number)  # type: ignore[misc]  # bound at once
                else:
                    assert reload(server).json["generation"] == number
                if number == RELOADS // 2:
                    load.goes_on()
                    resident = server.resident_bytes
            load.goes_on()
            assert load.wrong == []
            # What each generation of clients and connections took is given back: 2 a caller, and some on their way out.
            until(lambda: open_connections(upstream) <= 4 * CALLERS + 2)
            until(lambda: open_files(server) <= files + 4 * CALLERS)
            assert server.resident_bytes - resident < 20_000_000
        assert server.chat().status == 200
        assert upstream.requests[-1].headers["authorization"] == f"Bearer the-key-of-reload-{RELOADS + 1}"
    assert len(said(server, "configuration_reloaded")) == RELOADS
    assert {row.status for row in server.rows()} == {200}, "and every call is booked as it ended"
    assert len(server.rows()) >= load.answers + load.whole_streams


def test_half_a_file_under_load_changes_nothing(tmp_path: Path, upstream: Upstream) -> None:
    """Row 26 of the fault table: a bad file is reloaded; the old configuration stays, and the error is to be seen."""
    whole = models(upstream, "chat", "slow")
    with serving(tmp_path, toml=whole) as server:
        settled(server)
        file = server.folder / "undercroft.toml"
        with Load(server) as load:
            cuts = [cut for cut in range(len(whole) - 2, 10, -17) if whole[cut - 1] != "\n"]
            assert len(cuts) >= 10
            for cut in cuts:
                file.write_text(whole[:cut])
                refused = reload(server)
                assert (refused.status, refused.error["code"]) == (422, "configuration_refused"), whole[:cut]
                assert re.match(r"undercroft\.toml:[0-9]+", refused.error["message"]), refused
                view = server.ask("/api/v1/config").json
                assert (view["generation"], view["refusal"]["reason"]) == (1, refused.error["message"])
            server.process.send_signal(signal.SIGHUP)
            until(lambda: len(said(server, "configuration_refused")) == len(cuts) + 1)
            health = server.ask("/health")
            assert (health.status, health.json["status"]) == (200, "degraded")
            assert "refused" in health.json["checks"]["configuration"]
            load.goes_on()
            write(server, whole)
            assert reload(server).json["refusal"] is None
            assert server.ask("/health").json["status"] == "ok"
            load.goes_on()
            assert load.wrong == []
    reasons = [line["reason"] for line in said(server, "configuration_refused")]
    assert all(reason.startswith("undercroft.toml:") for reason in reasons)
    assert len(reasons) == len(cuts) + 1, "one line each"


def test_a_new_model_answers_a_removed_one_is_404_and_its_stream_goes_on(tmp_path: Path, upstream: Upstream) -> None:
    with serving(tmp_path, toml=models(upstream, "long", "chat")) as server:
        settled(server)
        listener = Listener(server, model="long")
        write(server, models(upstream, "chat", "fresh"))
        assert reload(server).status == 200
        assert server.chat(model="fresh").status == 200
        gone = server.chat(model="long")
        assert (gone.status, gone.error["code"]) == (404, "model_not_found")
        assert "fresh" in gone.error["message"]
        assert [model["id"] for model in server.ask("/v1/models").json["data"]][:2] == ["chat", "fresh"]
        under_way = not listener.is_whole
        listener.join()
        assert under_way
        assert listener.is_whole
        assert 'model="fresh"' in server.ask("/metrics").body.decode()


def test_keys_and_levels_take_effect_and_are_still_redacted(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / ".env").touch(mode=0o600)
    with serving(tmp_path, toml=models(upstream, "chat")) as server:
        settled(server)
        assert server.chat().status == 200
        (tmp_path / ".env").write_text(f"UNDERCROFT_MASTER_KEY={MASTER}\n")
        write(server, models(upstream, "chat") + '[telemetry]\nlog_level = "error"\n')
        assert reload(server).status == 200
        assert server.chat().status == 401
        assert server.chat(key=MASTER).status == 200
        assert reload(server).status == 401, "what opens the door may change with the door"
        write(server, f'{MASTER} = "in the wrong place"')
        refused = reload(server, key=MASTER)
        assert refused.status == 422
        until(lambda: len(said(server, "configuration_refused")) == 1)
    assert len(said(server, "api_request")) == 1, "the calls that came later are below the level"
    assert MASTER not in server.stdout + server.stderr


def test_what_takes_a_restart_is_refused_by_name(tmp_path: Path) -> None:
    with serving(tmp_path, toml=SCRIPTED) as server:
        settled(server)
        write(
            server, SCRIPTED.replace("One two", "Three four") + "[server]\nshutdown_grace_s = 5\n[local]\nslots = 2\n"
        )
        refused = reload(server)
        assert refused.status == 422
        assert refused.error["message"].splitlines() == [
            "undercroft.toml:9: server.shutdown_grace_s was changed, and that takes a restart",
            "undercroft.toml:11: local.slots was changed, and that takes a restart",
        ]
        assert b"One two" in server.chat().body, "not even what could have been changed was"


def test_reloading_is_for_who_may_manage(tmp_path: Path) -> None:
    with serving(tmp_path, toml=SCRIPTED, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        settled(server)
        assert reload(server).status == 401
        assert server.ask("/api/v1/config").status == 401
        assert reload(server, key=MASTER).status == 200


def test_workers_change_together_or_not_at_all(tmp_path: Path, upstream: Upstream) -> None:
    with serving(tmp_path, *TWO, toml=models(upstream, "chat", "slow")) as server:
        settled(server)
        with Load(server) as load:
            write(server, models(upstream, "chat", "slow", "fresh"))
            assert reload(server).json["generation"] == 2
            callers = one_each(server)
            assert [caller.chat(model="fresh") for caller in callers] == [200, 200]

            write(server, models(upstream, "chat", "slow", "later"))
            server.process.send_signal(signal.SIGHUP)
            until(lambda: [caller.chat(model="later") for caller in callers] == [200, 200])
            assert [caller.chat(model="fresh") for caller in callers] == [404, 404]

            (server.folder / "undercroft.toml").write_text('[[models]]\nname = "half')
            assert reload(server).status == 422
            assert [caller.chat(model="later") for caller in callers] == [200, 200]
            for caller in callers:
                assert b'"degraded"' in caller.ask("/health")[1]
                caller.close()
            load.goes_on()
            assert load.wrong == []
    assert len(said(server, "configuration_refused")) == 1, "the supervisor tells it for all"
    assert len(said(server, "configuration_reloaded")) == 2


def test_a_worker_that_is_replaced_starts_with_what_is_in_force_whatever_the_file_says(
    tmp_path: Path, upstream: Upstream
) -> None:
    with serving(tmp_path, *TWO, toml=models(upstream, "chat")) as server:
        settled(server)
        write(server, models(upstream, "chat", "fresh"))
        assert reload(server).status == 200
        (server.folder / "undercroft.toml").write_text('[[models]]\nname = "half')
        doomed = children(server, "gateway")[0]
        os.kill(doomed, signal.SIGKILL)
        until(lambda: len(set(children(server, "gateway")) - {doomed}) == 2)
        for caller in one_each(server):
            assert caller.chat(model="fresh") == 200
            caller.close()


def test_a_reload_loads_no_model_anew_and_one_that_is_named_now_is_loaded(tmp_path: Path) -> None:
    with serving(tmp_path, toml=SCRIPTED) as server:
        settled(server)
        assert "local" not in server.ask("/health").json["checks"]
        local = '[[models]]\nname = "mine"\ndeployments = [{ provider = "local" }]\n'
        write(server, SCRIPTED + local)
        assert reload(server).status == 200
        until(lambda: server.ask("/health").json["checks"].get("local") == "ok")
        write(server, SCRIPTED + local.replace("mine", "ours"))
        assert reload(server).status == 200
        assert server.ask("/health").json["checks"]["local"] == "ok", "not loading again"
        assert server.chat("Say hi", model="ours", max_tokens=3).status == 200


@contextmanager
def in_a_terminal(folder: Path, *before: str) -> Iterator[tuple[Server, int]]:
    """A server whose controlling terminal we hold the other end of."""
    master, slave = pty.openpty()
    opening = "import fcntl, os, sys, termios; fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0); "
    program = [sys.executable, "-c", opening + "os.execvp(sys.argv[2], sys.argv[2:])", "0", *before, *SERVE]
    with started(folder, program, stdin=slave) as server:
        os.close(slave)
        yield server, master


def test_a_closed_terminal_ends_the_server_that_was_started_from_it(tmp_path: Path) -> None:
    with in_a_terminal(tmp_path) as (server, terminal):
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(said(server, "configuration_reloaded")) == 1)
        os.close(terminal)
        assert server.process.wait(timeout=60) == 0


def test_under_nohup_it_outlives_its_terminal_and_still_reloads(tmp_path: Path) -> None:
    with in_a_terminal(tmp_path, "nohup") as (server, terminal):
        os.close(terminal)
        until(lambda: server.ask("/health").status == 200)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: bool(said(server, "configuration_reloaded")))
        assert server.ask("/health/live").status == 200


UNDER_UVICORN = "from undercroft import create_app\napp = create_app()\n"


def test_under_another_server_management_reloads_too(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(UNDER_UVICORN)
    uvicorn = [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", "0"]
    with started(tmp_path, uvicorn, toml=SCRIPTED, exit_code=-signal.SIGTERM) as server:
        until(lambda: server.ask("/health/ready").status == 200)
        write(server, SCRIPTED.replace("One two", "Three four"))
        assert reload(server).json["generation"] == 2
        assert b"Three four" in server.chat().body
