"""The same program as services: a gateway that answers, a console that manages, a worker that does jobs."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support.job_cluster import Worker
from tests.support.postgres import PostgresServer
from tests.support.server import SCRIPTED, Server, run, serving, until

MASTER = "a-master-key-of-more-than-16-characters"


@dataclass(frozen=True)
class Services:
    gateway: Server
    console: Server
    worker: Worker


@pytest.fixture(scope="module")
def services(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    url = postgres_server.new_database()
    extra = {"DATABASE_URL": url, "UNDERCROFT_MASTER_KEY": MASTER}
    assert run(folder, "migrate", extra=extra, toml=SCRIPTED).exit_code == 0
    with ExitStack() as stack:
        gateway, console = (
            stack.enter_context(serving(folder / role, "--role", role, extra=extra)) for role in ("gateway", "console")
        )
        worker = Worker(folder, extra, 1)
        stack.callback(worker.kill)
        worker.wait_until_ready()
        yield Services(gateway, console, worker)
        assert worker.stop() == 0
    postgres_server.drop(url)


def test_a_key_that_the_console_makes_opens_the_gateway(services: Services) -> None:
    made = services.console.ask("/api/v1/keys", json={"name": "team"}, key=MASTER)
    key = made.json["key"]

    until(lambda: services.gateway.ask("/v1/models", key=key).status == 200)
    assert services.gateway.chat(key=key).status == 200
    assert services.console.chat(key=key).status == 404, "models are asked elsewhere"
    assert services.gateway.ask("/api/v1/keys", key=MASTER).status == 404, "and nobody manages there"


def test_what_the_gateway_answers_the_console_counts(services: Services) -> None:
    def calls() -> int:
        total = services.console.ask("/api/v1/usage", key=MASTER).json["total"]
        return 0 if total is None else int(total["calls"])

    before = calls()
    assert services.gateway.chat(key=MASTER).status == 200

    until(lambda: calls() > before)


def test_a_job_that_the_gateway_accepts_the_worker_does(services: Services) -> None:
    made = services.gateway.ask("/api/v1/jobs", json={"kind": "generate", "input": {"prompt": "Hi"}}, key=MASTER)
    where = f"/api/v1/jobs/{made.json['id']}"
    assert made.status == 202

    until(lambda: services.gateway.ask(where, key=MASTER).json["status"] == "succeeded")
    assert services.gateway.ask(where, key=MASTER).json["result"]["result"] == "One two three four five."
