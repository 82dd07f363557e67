"""Who may come in, asked of running servers: without keys, with a master key, with virtual keys that come and go."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.keys import add_key, revoke_key
from tests.support.server import SCRIPTED, Server, run, serving, until
from undercroft.api import routes as builtin
from undercroft.api.app import Application
from undercroft.api.routing import Route
from undercroft.settings.model import Settings

MASTER = "a-master-key-of-more-than-16-characters"
METRICS = "a-token-that-only-scrapes"
TAKES_EFFECT_S = 2.0
SLACK = 10
"""A loaded machine may take ten times as long."""

OPEN = {"/health", "/health/live", "/health/ready"}


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    toml = f'{SCRIPTED}\n[server]\nallowed_hosts = ["ai.example.com"]\n'
    with serving(tmp_path_factory.mktemp("open"), toml=toml) as running:
        yield running


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    extra = {"UNDERCROFT_MASTER_KEY": MASTER, "UNDERCROFT_TELEMETRY__METRICS_TOKEN": METRICS}
    with serving(tmp_path_factory.mktemp("closed"), "--host", "0.0.0.0", extra=extra) as running:
        running.url = f"http://127.0.0.1:{running.port}"
        until(lambda: running.ask("/health/ready").status == 200)  # the database opens beside the first answers
        yield running


def every_route(data_dir: Path) -> list[Route]:
    """The table that the server builds its router from."""

    async def built() -> list[Route]:
        application = Application(Settings(data_dir=data_dir), bind="loopback")
        try:
            return builtin.table(application, await application.start())
        finally:
            await application.stop()

    return asyncio.run(built())


def test_a_path_leads_to_the_family_that_has_it(tmp_path: Path) -> None:
    async def made() -> tuple[dict[str, list[str]], list[str]]:
        application = Application(Settings(data_dir=tmp_path), bind="loopback")
        try:
            undercroft = await application.start()
            late = {each.begins: [route.path for route in each.make()] for each in builtin.families(undercroft)}
            return late, [route.path for route in builtin.at_once(application, undercroft)]
        finally:
            await application.stop()

    late, at_once = asyncio.run(made())
    assert len(late) > 10
    for begins, paths in late.items():
        for path in paths:
            assert max((each for each in late if path.startswith(each)), key=len) == begins
            assert path not in at_once
    assert not [path for path in at_once if path.startswith(tuple(late))]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8000", "ai.example.com", "localhost."]
)
def test_the_open_door_lets_its_own_names_in(open_server: Server, host: str) -> None:
    assert open_server.ask("/v1/models", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "0.0.0.0", "[::2]", "127.1"]
)
def test_the_open_door_answers_other_names_with_421(open_server: Server, host: str) -> None:
    for path in ("/v1/models", "/", "/metrics", "/api/v1/usage"):
        answer = open_server.ask(path, headers={"host": host})
        assert (answer.status, answer.error["code"]) == (421, "misdirected_request")
    assert open_server.ask("/health", headers={"host": host}).status == 200


def test_the_open_door_ignores_other_peoples_keys_and_refuses_a_wrong_one_of_ours(open_server: Server) -> None:
    assert open_server.chat(key="sk-whatever-an-sdk-sends").status == 200
    answer = open_server.chat(key="uc_aaaaaaaa_" + "a" * 43)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_without_a_key_a_closed_server_answers_only_health(closed_server: Server, tmp_path: Path) -> None:
    routes = every_route(tmp_path)
    assert len(routes) > 15
    for route in routes:
        path = route.path.replace("{model}", "chat").replace("{rest}", "usage")
        if (route.method, path) == ("POST", "/api/v1/session"):
            continue  # where people get in
        answer = closed_server.ask(path, method=route.method)
        if path in OPEN:
            assert answer.status == 200, path
        else:
            told = answer.json["error"]
            assert answer.status == 401, path
            assert told["type"] == "authentication_error"
            assert "Bearer" in told["message"]


@pytest.mark.parametrize("key", [MASTER[:-1], MASTER + "x", MASTER.upper(), METRICS, "uc_", "Bearer", "\u00e9"])
def test_a_wrong_key_opens_no_ai_route(closed_server: Server, key: str) -> None:
    answer = closed_server.chat(key=key)
    assert answer.status == 401
    assert MASTER not in answer.body.decode()


def test_the_master_key_opens_every_route_whatever_the_host_and_whichever_header(closed_server: Server) -> None:
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/v1/models", "/v1/models/chat", "/api/v1/usage"):
        assert closed_server.ask(path, key=MASTER, headers={"host": "anything.example"}).status == 200, path
    assert closed_server.ask("/v1/models", headers={"x-api-key": MASTER}).status == 200
    assert closed_server.ask("/v1/models", headers={"authorization": f"bEARER  {MASTER} "}).status == 200
    assert closed_server.ask("/v1/models", headers={"authorization": f"Basic {MASTER}"}).status == 401
    assert closed_server.chat(key=MASTER).status == 200


def test_the_metrics_token_reads_metrics_and_docs_and_nothing_else(closed_server: Server) -> None:
    for path in ("/metrics", "/docs", "/openapi.json"):
        assert closed_server.ask(path, key=METRICS).status == 200, path
    for path in ("/v1/models", "/api/v1/usage"):
        assert closed_server.ask(path, key=METRICS).status == 401, path


def test_the_body_of_a_stranger_is_never_read(closed_server: Server) -> None:
    answer = closed_server.ask("/v1/chat/completions", body=b"not JSON")
    assert answer.status == 401


def test_a_virtual_key_opens_what_it_may_until_it_is_revoked(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.chat().status == 200, "open while there is no key"
        caller = add_key(server.folder)
        until(lambda: server.chat().status == 401, within_s=TAKES_EFFECT_S * SLACK)

        assert server.chat(key=caller.text).status == 200
        assert server.ask("/v1/models", headers={"x-api-key": caller.text}).status == 200
        assert server.chat(key=caller.text[:-1] + "_").status == 401
        assert server.chat(key="sk-something").status == 401
        refused = server.ask("/api/v1/usage", key=caller.text)
        assert (refused.status, refused.error["code"]) == (403, "permission_denied")
        assert server.ask("/metrics", key=caller.text).status == 403

        admin = add_key(server.folder, permissions=("ai", "manage", "scrape", "docs"))
        until(lambda: server.ask("/api/v1/usage", key=admin.text).status == 200, within_s=TAKES_EFFECT_S * SLACK)
        brief = add_key(server.folder, expires_in_s=3.0)
        until(lambda: server.chat(key=brief.text).status == 200, within_s=TAKES_EFFECT_S * SLACK)
        until(lambda: server.chat(key=brief.text).status == 401, within_s=3.0 + TAKES_EFFECT_S * SLACK)

        revoke_key(server.folder, caller)
        revoked = time.monotonic()
        until(lambda: server.chat(key=caller.text).status == 401, within_s=TAKES_EFFECT_S * SLACK)
        print(f"a revoked key was refused after {time.monotonic() - revoked:.2f} s")
        assert server.ask("/api/v1/usage", key=admin.text).status == 200

        until(lambda: any(row.key == caller.id and row.status == 200 for row in server.rows()))
        assert caller.text not in server.stdout + server.stderr


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_revoked_key_opens_no_process_of_any_server(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = str(request.getfixturevalue("postgres_url")) if kind == "postgresql" else None
    extra = {"UNDERCROFT_DATA_DIR": str(tmp_path / "one" / ".undercroft"), "UNDERCROFT_MASTER_KEY": MASTER}
    if url is not None:
        (tmp_path / "one").mkdir()
        extra["DATABASE_URL"] = url
        assert run(tmp_path / "one", "migrate", extra=extra).exit_code == 0
    with (
        serving(tmp_path / "one", "--workers", "2", extra=extra) as one,
        serving(tmp_path / "two", extra=extra) as two,
    ):
        key = add_key(tmp_path / "one", url=url)

        def statuses() -> set[int]:
            """Of enough connections that each process has had some."""
            return {server.ask("/v1/models", key=key.text).status for server in (one, two) for _ in range(12)}

        until(lambda: statuses() == {200}, within_s=TAKES_EFFECT_S * SLACK)
        revoke_key(tmp_path / "one", key, url=url)
        revoked = time.monotonic()
        until(lambda: statuses() == {401}, within_s=TAKES_EFFECT_S * SLACK)
        print(f"no process took a revoked key {time.monotonic() - revoked:.2f} s later")


def test_a_server_open_to_the_network_does_not_start_without_a_master_key(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert done.exit_code == 2
    assert "export UNDERCROFT_MASTER_KEY=" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / ".undercroft").exists()
