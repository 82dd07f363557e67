"""`serve --workers 2`: one server to its clients, whatever becomes of its processes."""

import os
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support import local_models
from tests.support.background import upstream_in_background
from tests.support.server import SCRIPTED, Server, command, run, serving, started, until
from tests.support.upstream import DONE, STREAM_HEAD, Do, Request, Step, Upstream, delta, event
from tests.support.workers import Caller, Listener, children, has_mapped, one_each, option

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

TWO = ("--workers", "2")
PIECES = 25
PIECE_S = 0.1


def slow(request: Request) -> Iterable[Step]:
    """A stream of two and a half seconds."""
    yield STREAM_HEAD
    yield event(delta("one", role="assistant"))
    for _ in range(PIECES):
        yield PIECE_S
        yield event(delta(" more"))
    yield event(delta(finish_reason="stop"))
    yield DONE


def endless(request: Request) -> Iterable[Step]:
    return [STREAM_HEAD, event(delta("one", role="assistant")), Do.HANG]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as upstream:
        upstream.answers |= {"slow": slow, "endless": endless}
        yield upstream


@pytest.fixture
def models(upstream: Upstream) -> str:
    """`chat`, `slow` and `endless`, all behind the provider."""
    deployment = f'[[models.deployments]]\nprovider = "openai_compatible"\nbase_url = "{upstream.base_url}"\n'
    price = 'price = { input = "1", output = "2" }\n'
    return "".join(f'[[models]]\nname = "{name}"\n{deployment}{price}' for name in ("chat", "slow", "endless"))


def calls_counted(scrape: bytes) -> int:
    found = re.findall(rb"^ai_api_calls_total\{.*\} ([0-9.e+]+)$", scrape, re.MULTILINE)
    return sum(int(float(number)) for number in found)


def ledger(server: Server) -> Counter[str]:
    return Counter(row.id for row in server.rows())


def test_every_worker_answers_and_tells_the_sum_of_all(tmp_path: Path, models: str) -> None:
    with serving(tmp_path, *TWO, toml=models) as server:
        callers = one_each(server)
        for count, caller in zip((3, 5), callers, strict=True):
            assert [caller.chat() for _ in range(count)] == [200] * count
        until(lambda: [calls_counted(caller.ask("/metrics")[1]) for caller in callers] == [8, 8], within_s=2)
        for caller in callers:
            caller.close()
    assert len(ledger(server)) == 8
    assert {row.cost_nano for row in server.rows()} == {7 * 1000 + 10 * 2000}


class Load:
    """Callers that keep calling, each on its own connection."""

    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers
        self.cut: list[Caller] = []
        """Those whose connection was lost."""
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._keep_calling, args=(caller,)) for caller in callers]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self, answers: int) -> None:
        """Waits until everybody who was not cut off has had so many more answers."""
        enough = {caller: len(caller.answered) + answers for caller in self.callers}
        until(lambda: all(len(each.answered) >= enough[each] for each in self.callers if each not in self.cut))

    def _keep_calling(self, caller: Caller) -> None:
        try:
            while not self._over.is_set():
                assert caller.chat() == 200
        except (OSError, HTTPException):
            self.cut.append(caller)


@contextmanager
def under_load(callers: list[Caller]) -> Iterator[Load]:
    load = Load(callers)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def test_a_killed_worker_is_replaced_and_nobody_else_notices(tmp_path: Path, models: str) -> None:
    with serving(tmp_path, *TWO, toml=models) as server:
        callers = [Caller(server) for _ in range(10)]
        assert [caller.chat() for caller in callers] == [200] * 10
        doomed = callers[0].worker
        lost = [caller for caller in callers if caller.worker == doomed]
        newcomers: list[str] = []
        with under_load(callers) as load:
            load.goes_on(10)
            before = calls_counted(server.ask("/metrics").body)
            os.kill(doomed, signal.SIGKILL)
            for _ in range(20):  # half of them queue behind the dead worker's socket until there is another
                answer = server.chat()
                assert answer.status == 200
                newcomers.append(answer.request_id)
            until(lambda: len(children(server, "gateway")) == 2)
            assert calls_counted(server.ask("/metrics").body) >= before
            load.goes_on(10)
        assert set(load.cut) == set(lost)
        for caller in callers:
            caller.close()
        for caller in one_each(server):
            assert caller.worker != doomed
            assert calls_counted(caller.ask("/metrics")[1]) >= before
            caller.close()
    booked = ledger(server)
    answered = [request_id for caller in callers for request_id in caller.answered] + newcomers
    assert [request_id for request_id in answered if booked[request_id] != 1] == []
    unheard = [row.error for row in server.rows() if row.id not in set(answered)]
    assert set(unheard) <= {"interrupted", ""}, "booked, and killed before its answer was out"
    assert len(unheard) <= len(lost)
    (died,) = [event for event in server.events if event["event"] == "worker_died"]
    assert died["reason"] == "signal 9 (Killed)"


def test_sigterm_lets_open_streams_finish_while_the_door_closes(tmp_path: Path, models: str) -> None:
    with serving(tmp_path, *TWO, toml=models) as server:
        metrics = Path(option(children(server, "gateway")[0], "--metrics"))
        listeners = [Listener(server, model="slow") for _ in range(8)]
        server.process.send_signal(signal.SIGTERM)
        time.sleep(PIECES * PIECE_S * 0.75)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()
        assert any(listener.is_alive() for listener in listeners)  # the first to begin may have come to its end
        for listener in listeners:
            listener.join()
        assert server.process.wait(timeout=20) == 0
    assert [listener.is_whole for listener in listeners] == [True] * 8
    assert [(row.status, row.error) for row in server.rows()] == [(200, "")] * 8
    assert list((tmp_path / ".undercroft" / "spool").iterdir()) == []
    assert not metrics.parent.exists()


def test_a_second_sigterm_ends_everything_now(tmp_path: Path, models: str) -> None:
    with serving(tmp_path, *TWO, toml=models) as server:
        listener = Listener(server, model="endless")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=5) == 0
        listener.join()
        assert not listener.is_whole


def test_workers_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    with serving(tmp_path, *TWO) as server:
        pids = [*children(server, "gateway"), *children(server, "model")]
        assert len(pids) == 3
        server.kill()
        until(lambda: not any(is_running(pid) for pid in pids), within_s=10)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", server.port))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_that_cannot_start_any_more_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    with started(tmp_path, command("serve", "--port", "0", *TWO)) as server:
        doomed = children(server, "gateway")[0]
        Path(option(doomed, "--control")).unlink()  # where the next one asks what to start with
        os.kill(doomed, signal.SIGKILL)
        assert server.process.wait(timeout=60) == 1
    assert "failed to start 5 times in a row" in server.stderr
    assert "The supervisor of this server does not answer" in server.stderr
    assert "Traceback" not in server.stderr + server.stdout


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        done = run(tmp_path, "serve", *TWO, "--port", str(port), toml=SCRIPTED)
    assert done.exit_code == 1
    assert done.complaint.startswith(f"undercroft: Port {port} on 127.0.0.1 is taken.")


@pytest.mark.parametrize(
    ("role", "has", "has_not"),
    [
        ("gateway", ["/v1/models"], ["/api/v1/keys", "/"]),
        ("console", ["/"], ["/v1/models"]),
    ],
)
def test_a_role_has_its_own_routes_and_what_every_process_has(
    tmp_path: Path, role: str, has: list[str], has_not: list[str]
) -> None:
    with serving(tmp_path, *TWO, "--role", role) as server:
        for caller in one_each(server):
            assert [caller.ask(path)[0] for path in ("/health", "/metrics", *has)] == [200] * (2 + len(has))
            assert [caller.ask(path)[0] for path in has_not] == [404] * len(has_not)
            caller.close()


def test_the_bundled_model_is_loaded_once_and_answers_through_every_worker(tmp_path: Path) -> None:
    gguf = local_models.weights().chat
    with serving(tmp_path, *TWO, toml="") as server:
        (host,) = children(server, "model")
        callers = one_each(server)
        assert [caller.chat(model="local") for caller in callers] == [200] * 2
        everyone = [host, *children(server, "gateway"), server.pid]
        assert [pid for pid in everyone if has_mapped(pid, gguf)] == [host]

        os.kill(host, signal.SIGKILL)
        until(lambda: children(server, "model") not in ([], [host]))
        assert [caller.chat(model="local") for caller in callers] == [200] * 2
        for caller in callers:
            caller.close()
    assert Counter(row.status for row in server.rows()) == {200: 4}
