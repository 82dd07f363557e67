"""Jobs across what a server goes through: HTTP, tenants, upstream calls that are cancelled, signals, kill -9."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.background import upstream_in_background
from tests.support.http import Answer
from tests.support.keys import add_key
from tests.support.server import SCRIPTED, Server, run, serving, until
from tests.support.upstream import STREAM_HEAD, Request, Step, delta, event

MASTER = "a-master-key-of-more-than-16-characters"
JOBS = int(os.environ.get("UNDERCROFT_KILL_JOBS", "400"))
"""Jobs to be accepted in all; `make torture` takes more."""
KILLS = max(4, JOBS // 100)
CALLERS = 8
AT_ONCE = 8
WORK = """
import asyncio
import os
import time

import undercroft


@undercroft.job("append", max_attempts=1)
async def append(line: str, seconds: float = 0.005) -> str:
    descriptor = os.open("done", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (line + "\\n").encode())
    os.close(descriptor)
    await asyncio.sleep(seconds)
    return line


@undercroft.job("count")
def count(to: int, context: undercroft.JobContext) -> int:
    for number in range(to):
        context.check()
        context.output(number)
        context.progress(number + 1, to)
        time.sleep(0.01)
    return to
"""


def endless(request: Request) -> "Iterator[Step]":
    yield STREAM_HEAD
    while True:
        yield event(delta(" more"))
        yield 0.01


@contextmanager
def working(folder: Path, toml: str = SCRIPTED, **options: Any) -> Iterator[Server]:
    """A server with the functions above."""
    (folder / "work.py").write_text(WORK)
    with serving(folder, toml=f'{toml}\n[jobs]\nat_once = {AT_ONCE}\nmodules = ["work"]\n', **options) as server:
        until(lambda: server.ask("/health").json["checks"]["database"] == "ok", within_s=60)
        yield server


def hand_in(server: Server, kind: str, input: object, *, key: str | None = None, **fields: Any) -> Answer:
    return server.ask("/api/v1/jobs", json={"kind": kind, "input": input, **fields}, key=key)


def ended(server: Server, id: str, *, within_s: float = 30) -> Any:
    """The job, once it has ended."""
    seen: list[Any] = []

    def has_ended() -> bool:
        seen.append(server.ask(f"/api/v1/jobs/{id}").json)
        return seen[-1]["finished_at"] is not None

    until(has_ended, within_s=within_s)
    return seen[-1]


def test_a_job_answers_as_the_route_of_its_kind_does(tmp_path: Path) -> None:
    with working(tmp_path) as server:
        accepted = hand_in(server, "chat", {"model": "chat", "messages": [{"role": "user", "content": "hi"}]})
        assert accepted.status == 202
        assert accepted.headers["location"] == f"/api/v1/jobs/{accepted.json['id']}"
        assert accepted.json["status"] == "queued"
        done = ended(server, accepted.json["id"])
        assert done["status"] == "succeeded"
        assert done["result"]["choices"][0]["message"]["content"] == "One two three four five."
        assert done["result"]["object"] == "chat.completion"
        generated = ended(server, hand_in(server, "generate", {"prompt": "hi", "stream": True}).json["id"])
        assert generated["result"]["result"] == "One two three four five."
        assert generated["result"]["cost"] == "0.000011"
        until(lambda: len(server.rows()) == 2)
        assert {row.endpoint for row in server.rows()} == {"/api/v1/jobs"}


def test_the_same_key_gives_the_same_job_and_another_body_is_refused(tmp_path: Path) -> None:
    with working(tmp_path) as server:
        first = hand_in(server, "append", {"line": "a"}, idempotency_key="k")
        again = hand_in(server, "append", {"line": "a"}, idempotency_key="k")
        in_header = server.ask(
            "/api/v1/jobs",
            json={"input": {"line": "a"}, "kind": "append"},
            headers={"idempotency-key": "k"},
        )
        assert [each.status for each in (first, again, in_header)] == [202, 202, 202]
        assert {each.json["id"] for each in (first, again, in_header)} == {first.json["id"]}
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        other = hand_in(server, "append", {"line": "b"}, idempotency_key="k")
        assert (other.status, other.error["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"kind": "nothing"}, "unknown_job_kind"),
        ({"queue": "nowhere"}, "unknown_queue"),
        ({"input": {"line": 1}}, "invalid_type"),
        ({"run_at": "tomorrow"}, "invalid_value"),
        ({"priority": 101}, "integer_above_max_value"),
        ({"after": ["job_0"]}, "unknown_job"),
        ({"webhook": "ftp://example.com"}, "invalid_value"),
        ({"oops": 1}, "unknown_parameter"),
        ({"kind": "generate", "input": {}}, "missing_required_parameter"),
        ({"kind": "generate", "input": {"prompt": "hi", "model": "gone"}}, "model_not_found"),
    ],
)
def test_what_can_never_be_done_is_not_accepted(bad_server: Server, fields: dict[str, Any], code: str) -> None:
    refused = bad_server.ask("/api/v1/jobs", json={"kind": "append", "input": {"line": "a"}, **fields})
    assert refused.error["code"] == code
    assert refused.status in (400, 404)


@pytest.fixture(scope="module")
def bad_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    toml = f"{SCRIPTED}\n[server]\naccept_any_model = false\n"
    with working(tmp_path_factory.mktemp("server"), toml) as server:
        yield server


def test_one_organisation_never_sees_anothers_jobs(tmp_path: Path) -> None:
    with working(tmp_path, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        ours = add_key(tmp_path).text
        theirs = add_key(tmp_path, organisation="other").text
        until(lambda: server.ask("/v1/models", key=theirs).status == 200)
        job = hand_in(server, "append", {"line": "a"}, key=ours).json["id"]
        assert server.ask(f"/api/v1/jobs/{job}", key=ours).status == 200
        for path, method in (
            (job, "GET"),
            (f"{job}/cancel", "POST"),
            (f"{job}/retry", "POST"),
            (f"{job}/events", "GET"),
        ):
            assert server.ask(f"/api/v1/jobs/{path}", method=method, key=theirs).error["code"] == "unknown_job"
        assert server.ask("/api/v1/jobs", key=theirs).json["data"] == []
        assert server.ask("/api/v1/jobs").status == 401


def test_a_cancelled_job_takes_its_upstream_call_with_it(tmp_path: Path) -> None:
    with upstream_in_background() as upstream:
        upstream.answers = {"endless": endless}
        deployment = f'provider = "openai_compatible"\nbase_url = "{upstream.base_url}"'
        toml = f'{SCRIPTED}\n[[models]]\nname = "endless"\n[[models.deployments]]\n{deployment}\n'
        with working(tmp_path, toml) as server:
            asked = {"model": "endless", "messages": [{"role": "user", "content": "hi"}], "stream": True}
            job = hand_in(server, "chat", asked).json["id"]
            until(lambda: upstream.running == 1)
            assert server.ask(f"/api/v1/jobs/{job}/cancel", method="POST").status == 200
            until(lambda: upstream.running == 0)
            assert ended(server, job)["status"] == "cancelled"


def test_a_job_whose_own_calls_stop_its_deployment_is_given_up_all_the_same(tmp_path: Path) -> None:
    with upstream_in_background() as upstream:
        toml = (
            '[[models]]\nname = "web-page"\nbreaker = { failures = 2, calls = 4, rest_s = 1 }\n'
            f'[[models.deployments]]\nprovider = "openai_compatible"\nbase_url = "{upstream.base_url}"\n'
        )
        with working(tmp_path, toml) as server:
            asked = {"model": "web-page", "messages": [{"role": "user", "content": "hi"}]}
            dead = ended(server, hand_in(server, "chat", asked, max_attempts=3).json["id"], within_s=60)
    assert (dead["status"], dead["attempts"]) == ("dead", 3)
    assert dead["error"]["code"] == "upstream_invalid", "and not that nobody was left to ask"


def test_those_who_follow_a_job_hear_its_output_and_its_end(tmp_path: Path) -> None:
    with working(tmp_path) as server:
        job = hand_in(server, "count", {"to": 20}).json["id"]
        told = server.ask(f"/api/v1/jobs/{job}/events").body.decode()
        frames = [dict(line.split(": ", 1) for line in frame.splitlines()) for frame in told.strip().split("\n\n")]
        assert [frame["data"] for frame in frames if frame["event"] == "output"] == [str(n) for n in range(20)]
        assert frames[-1]["event"] == "status"
        assert msgspec.json.decode(frames[-1]["data"])["result"] == 20
        later = server.ask(f"/api/v1/jobs/{job}/events?after=17").body.decode()
        assert later.count("event: output") == 2


def test_a_clean_stop_finishes_what_runs_and_keeps_what_waits(tmp_path: Path) -> None:
    with working(tmp_path) as server:
        running = [hand_in(server, "append", {"line": f"r{n}", "seconds": 8}).json["id"] for n in range(AT_ONCE)]
        waiting = [hand_in(server, "append", {"line": f"w{n}"}).json["id"] for n in range(20)]
        until(lambda: (tmp_path / "done").exists() and len((tmp_path / "done").read_text().split()) == AT_ONCE)
        assert server.stop() == 0
    done = (tmp_path / "done").read_text().split()
    assert sorted(done) == sorted(f"r{n}" for n in range(AT_ONCE))
    with working(tmp_path) as server:
        assert {server.ask(f"/api/v1/jobs/{job}").json["status"] for job in running} == {"succeeded"}
        assert {ended(server, job)["status"] for job in waiting} == {"succeeded"}
    assert max(Counter((tmp_path / "done").read_text().split()).values()) == 1


def test_the_command_line_lists_waits_for_and_retries_jobs(tmp_path: Path) -> None:
    with working(tmp_path) as server:
        job = hand_in(server, "append", {"line": "a"}).json["id"]
        waited = run(tmp_path, "jobs", "wait", job, "--json")
        assert waited.exit_code == 0
        assert msgspec.json.decode(waited.stdout)[0]["result"] == "a"
        dead = hand_in(server, "count", {"to": 2}, timeout_s=0.001, max_attempts=1).json["id"]
        assert run(tmp_path, "jobs", "wait", dead).exit_code == 1
        assert "job_timeout" in run(tmp_path, "jobs", "show", dead).stdout
        assert dead in run(tmp_path, "jobs", "dead").stdout
        assert run(tmp_path, "jobs", "retry", dead).exit_code == 0
        assert run(tmp_path, "jobs", "retry", job).exit_code == 1
        assert run(tmp_path, "jobs", "cancel", "job_0").exit_code == 1
        assert run(tmp_path, "jobs", "retry").exit_code == 2
        listed = msgspec.json.decode(run(tmp_path, "jobs", "list", "--json", "--kind", "append").stdout)
        assert [each["id"] for each in listed] == [job]


def test_another_process_on_the_same_file_takes_over_at_once(tmp_path: Path) -> None:
    toml = f'data_dir = "{tmp_path}/data"\n{SCRIPTED}'
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with working(first, toml) as dies, working(second, toml) as lives:
        begun = [hand_in(dies, "append", {"line": f"b{n}", "seconds": 600}).json["id"] for n in range(8)]
        until(lambda: all(lives.ask(f"/api/v1/jobs/{job}").json["status"] == "running" for job in begun))
        mine = (first / "done").read_text().split() if (first / "done").exists() else []
        assert mine, "the process that accepts a job is the first to see it"
        os.kill(dies.pid, signal.SIGKILL)
        dies.process.wait()
        until(lambda: (second / "done").exists() and set(mine) <= set((second / "done").read_text().split()))
        for job in begun:
            lives.ask(f"/api/v1/jobs/{job}/cancel", method="POST")
        assert {ended(lives, job)["status"] for job in begun} == {"cancelled"}


def test_no_job_is_lost_or_done_twice_whenever_the_server_dies(tmp_path: Path) -> None:
    accepted: dict[str, str] = {}
    pending = list(range(JOBS))
    seed = int(os.environ.get("UNDERCROFT_FAULT_SEED") or random.randrange(1_000_000))
    print(f"{JOBS} jobs over {KILLS} kills: seed {seed}")
    lock, rng = threading.Lock(), random.Random(seed)
    rows: list[Any] = []

    def keep_handing_in(server: Server, stop: threading.Event) -> None:
        while not stop.is_set():
            with lock:
                if not pending:
                    return
                number = pending.pop()
            try:
                answer = hand_in(
                    server,
                    "append",
                    {"line": str(number)},
                    idempotency_key=f"key-{number}",
                )
                assert answer.status == 202, answer
                accepted[f"key-{number}"] = answer.json["id"]
            except (OSError, HTTPException):
                with lock:
                    pending.append(number)

    for life in range(KILLS + 1):
        with working(tmp_path) as server:
            stop = threading.Event()
            threads = [threading.Thread(target=keep_handing_in, args=(server, stop)) for _ in range(CALLERS)]
            for thread in threads:
                thread.start()
            if life == KILLS:
                for thread in threads:
                    thread.join()
                until(lambda: _all_ended(server), within_s=60)
                rows = _all(server)
                break
            enough = JOBS * (life + 1) // (KILLS + 1)
            until(lambda: len(accepted) >= enough, within_s=60)  # noqa: B023 - called in this turn
            time.sleep(rng.uniform(0, 0.05))
            os.kill(server.pid, signal.SIGKILL)
            server.process.wait()
            stop.set()
            for thread in threads:
                thread.join()
    assert len(accepted) == JOBS
    assert len(rows) == JOBS
    assert {row["id"] for row in rows} == set(accepted.values())
    assert Counter(row["status"] for row in rows) == {"succeeded": JOBS}
    assert {row["result"] for row in rows} == {str(number) for number in range(JOBS)}
    reruns = len((tmp_path / "done").read_text().split()) - JOBS
    assert 0 <= reruns <= KILLS * AT_ONCE
    print(f"{JOBS} jobs over {KILLS} kills: 0 lost, 0 recorded twice, 0 stuck; {reruns} run again")


def _all(server: Server) -> list[Any]:
    found: list[Any] = []
    while True:
        last = found[-1]["id"] if found else ""
        page = server.ask(f"/api/v1/jobs?limit=100&before={last}").json
        found += page["data"]
        if not page["has_more"]:
            return found


def _all_ended(server: Server) -> bool:
    return all(not server.ask(f"/api/v1/jobs?status={status}&limit=1").json["data"] for status in ("queued", "running"))
