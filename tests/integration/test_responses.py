"""Responses across what a server goes through: tenants, its end by signal, kill -9, a database that is away."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.background import upstream_in_background
from tests.support.http import Answer
from tests.support.keys import add_key
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.server import SCRIPTED, Server, run, serving, until
from tests.support.upstream import STREAM_HEAD, Request, Step, Upstream, delta, event

MASTER = "a-master-key-of-more-than-16-characters"


def endless(_: Request) -> "Iterator[Step]":
    yield STREAM_HEAD
    while True:
        yield event(delta(" more"))
        yield 0.01


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        running.answers = {"endless": endless}
        yield running


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """One of our own: the test takes it away."""
    with running_postgres() as running:
        yield running


def settings(upstream: Upstream) -> str:
    deployment = f'provider = "openai_compatible"\nbase_url = "{upstream.base_url}"'
    return f'{SCRIPTED}\n[[models]]\nname = "endless"\n[[models.deployments]]\n{deployment}\n'


@contextmanager
def ready(folder: Path, *arguments: str, **options: Any) -> Iterator[Server]:
    """A server whose processes have opened their database."""
    with serving(folder, *arguments, **options) as server:
        until(lambda: all(server.ask("/health").json["checks"]["database"] == "ok" for _ in range(16)), within_s=60.0)
        yield server


def respond(server: Server, *, key: str | None = None, **fields: Any) -> Answer:
    return server.ask("/v1/responses", json={"model": "chat", "input": "hi", **fields}, key=key)


def test_one_organisation_never_sees_anothers(tmp_path: Path) -> None:
    with ready(tmp_path, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        keys = [add_key(tmp_path, organisation=name).text for name in ("default", "other")]
        ours, theirs = keys
        until(lambda: all(server.ask("/v1/models", key=key).status == 200 for key in keys))
        kept = respond(server, key=ours)
        path = f"/v1/responses/{kept.json['id']}"
        assert server.ask(path, key=ours).json == kept.json
        for method, where in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
            refused = server.ask(path + where, method=method, key=theirs)
            assert (refused.status, refused.json["error"]["param"]) == (404, "response_id"), (method, where)
        continued = respond(server, key=theirs, previous_response_id=kept.json["id"])
        assert (continued.status, continued.json["error"]["code"]) == (400, "previous_response_not_found")
        assert server.ask(path, key=ours).status == 200, "it was not deleted"
        assert server.ask(path).status == 401


def test_what_runs_at_the_end_of_its_server_has_failed(tmp_path: Path, upstream: Upstream) -> None:
    with ready(tmp_path, toml=settings(upstream)) as server:
        accepted = respond(server, model="endless", background=True)
        path = f"/v1/responses/{accepted.json['id']}"
        until(lambda: server.ask(path).json["status"] == "in_progress")
        assert server.stop() == 0
    until(lambda: not upstream.running)
    with ready(tmp_path, toml=settings(upstream)) as server:
        until(lambda: server.ask(path).status == 200)
        failed = server.ask(path).json
        assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")


def test_what_ran_when_its_server_was_killed_has_failed(tmp_path: Path, upstream: Upstream) -> None:
    with ready(tmp_path, toml=settings(upstream)) as server:
        finished = respond(server).json
        accepted = respond(server, model="endless", background=True)
        path = f"/v1/responses/{accepted.json['id']}"
        until(lambda: server.ask(path).json["status"] == "in_progress")
        server.kill()
    with ready(tmp_path, toml=settings(upstream)) as server:
        until(lambda: server.ask(path).status == 200)
        assert server.ask(f"/v1/responses/{finished['id']}").json == finished
        until(lambda: server.ask(path).json["status"] == "failed", within_s=60.0, every_s=0.2)
        events = server.ask(f"{path}?stream=true").body
        assert events.rpartition(b"event: ")[2].startswith(b"response.failed\n")


def test_a_background_response_goes_on_while_the_configuration_is_replaced(tmp_path: Path, upstream: Upstream) -> None:
    with ready(tmp_path, toml=settings(upstream)) as server:
        accepted = respond(server, model="endless", background=True)
        path = f"/v1/responses/{accepted.json['id']}"
        until(lambda: server.ask(path).json["status"] == "in_progress")
        another = settings(upstream).replace('"endless"', '"also"')
        (tmp_path / "undercroft.toml").write_text(another, encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: b'"also"' in server.ask("/v1/models").body)
        until(lambda: upstream.running > 0)
        assert server.ask(path).json["status"] == "in_progress"
        assert respond(server, background=True).json["status"] == "queued"
        assert server.ask(f"{path}/cancel", method="POST").json["status"] == "cancelled"
        until(lambda: not upstream.running)


def test_any_worker_knows_what_another_answers(tmp_path: Path, upstream: Upstream) -> None:
    with ready(tmp_path, "--workers", "2", toml=settings(upstream)) as server:
        for _ in range(4):
            accepted = respond(server, background=True)
            path = f"/v1/responses/{accepted.json['id']}"
            followed = server.ask(f"{path}?stream=true").body
            assert followed.rpartition(b"event: ")[2].startswith(b"response.completed\n")
            assert server.ask(path).json["status"] == "completed"
        running = respond(server, model="endless", background=True)
        until(lambda: upstream.running > 0)
        cancelled = server.ask(f"/v1/responses/{running.json['id']}/cancel", method="POST")
        assert cancelled.json["status"] == "cancelled"
        until(lambda: not upstream.running)


def test_without_its_database_a_server_answers_and_says_that_it_keeps_nothing(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    extra = {"DATABASE_URL": postgres.new_database(), "UNDERCROFT_MASTER_KEY": MASTER}
    assert run(tmp_path, "migrate", extra=extra).exit_code == 0
    with ready(tmp_path, extra=extra) as server:
        until(lambda: respond(server, key=MASTER).json["store"] is True)
        postgres.stop()
        try:
            until(lambda: server.ask("/health").status == 503)
            for stream in (True, False):
                answer = respond(server, key=MASTER, stream=stream)
                assert answer.status == 200
                assert b'"store":false' in answer.body
            for fields in ({"store": True}, {"background": True}, {"previous_response_id": "resp_1"}):
                refused = respond(server, key=MASTER, **fields)
                assert (refused.status, refused.error["code"]) == (503, "database_unavailable")
        finally:
            postgres.start()
        until(lambda: respond(server, key=MASTER).json["store"] is True)
