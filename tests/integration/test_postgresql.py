"""A server in front of PostgreSQL: before the schema, after the migration, and while the database is away."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from tests.support.http import Answer
from tests.support.keys import add_key
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.server import SCRIPTED, Server, run, serving, started, until

MASTER_KEY = "a-master-key-of-some-length"
HEALS_S = 2.0
SLACK = 10
CLOSED = ("/", "/docs", "/openapi.json", "/metrics", "/v1/models", "/v1/models/chat", "/api/v1/usage")


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    """One of our own: these tests take it away."""
    with running_postgres() as running:
        yield running


@pytest.mark.parametrize("key", [None, MASTER_KEY])
def test_before_the_schema_it_names_the_migration_and_after_it_serves_without_a_restart(
    tmp_path: Path, postgres_url: str, key: str | None
) -> None:
    extra = {"DATABASE_URL": postgres_url} | ({"UNDERCROFT_MASTER_KEY": key} if key else {})
    with started(tmp_path, extra=extra) as server:
        until(lambda: server.ask("/health").status == 503)
        assert_waits_for_migration(server, key)
        assert run(tmp_path, "migrate", extra=extra).exit_code == 0
        migrated = time.monotonic()
        until(lambda: server.chat(key=key).status == 200, within_s=HEALS_S * SLACK)
        print(f"served {time.monotonic() - migrated:.2f} s after the migration")
        assert server.ask("/health/ready").status == 200
        until(lambda: any(row.status == 200 for row in server.rows(postgres_url)))


def assert_waits_for_migration(server: Server, key: str | None) -> None:
    assert server.ask("/health/live").status == 200
    for path in ("/health", "/health/ready"):
        answer = server.ask(path)
        assert answer.status == 503
        assert "undercroft migrate" in answer.json["checks"]["database"]
    begun = time.monotonic()
    answers = [server.ask(path, key=key) for path in CLOSED]
    answers += [server.chat(key=key), server.ask("/api/generate?prompt=hi", method="POST", key=key)]
    for refused in answers:
        assert (refused.status, refused.error["code"]) == (503, "database_unavailable")
        assert "undercroft migrate" in refused.error["message"]
        assert refused.headers["retry-after"] == "1"
    assert time.monotonic() - begun < 0.2 * SLACK, "nobody waits for a migration"


def test_an_older_schema_is_as_good_as_none(tmp_path: Path, postgres_url: str) -> None:
    extra = {"DATABASE_URL": postgres_url}
    assert run(tmp_path, "migrate", "--to", "0001", extra=extra).exit_code == 0
    with started(tmp_path, extra=extra) as server:
        until(lambda: server.ask("/health").status == 503)
        assert_waits_for_migration(server, None)
        assert run(tmp_path, "migrate", extra=extra).exit_code == 0
        until(lambda: server.chat().status == 200, within_s=HEALS_S * SLACK)


def test_a_newer_schema_is_named_and_left_alone(tmp_path: Path, postgres_url: str) -> None:
    extra = {"DATABASE_URL": postgres_url, "UNDERCROFT_MASTER_KEY": MASTER_KEY}
    assert run(tmp_path, "migrate", extra=extra).exit_code == 0
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999', oldest_code = 9999")
    with started(tmp_path, extra=extra) as server:
        until(lambda: server.ask("/health").status == 503)
        assert "9999" in server.ask("/health").json["checks"]["database"]
        assert server.ask("/health/live").status == 200
        assert server.ask("/api/v1/usage", key=MASTER_KEY).status == 503
        assert server.chat(key=MASTER_KEY).status == 200, "known callers are served while their server is replaced"
    done = run(tmp_path, "migrate", extra=extra)
    assert done.exit_code == 2
    assert "9999" in done.stderr


def test_a_server_that_cannot_reach_its_database_listens_and_says_so(tmp_path: Path) -> None:
    extra = {"DATABASE_URL": "postgresql://nobody:pass-word@127.0.0.1:1/none"}
    with started(tmp_path, extra=extra) as server:
        until(lambda: server.ask("/health").status == 503)
        assert server.ask("/health").json["checks"]["database"] != "ok"
        assert server.ask("/health/live").status == 200
        begun = time.monotonic()
        answer = server.chat()
        assert (answer.status, answer.error["code"]) == (503, "database_unavailable")
        assert time.monotonic() - begun < 0.2 * SLACK
        assert "pass-word" not in server.ask("/health").body.decode() + answer.body.decode()
    assert "pass-word" not in server.stdout + server.stderr


def test_a_database_that_is_away_at_the_start_is_used_when_it_comes(tmp_path: Path, mortal: PostgresServer) -> None:
    url = mortal.new_database()
    extra = {"DATABASE_URL": url, "UNDERCROFT_MASTER_KEY": MASTER_KEY}
    assert run(tmp_path, "migrate", extra=extra).exit_code == 0
    key = add_key(tmp_path, url=url)
    mortal.stop()
    with started(tmp_path, extra=extra) as server:
        try:
            until(lambda: server.ask("/health").status == 503)
            seen = [server.chat(key=MASTER_KEY) for _ in range(3)]
            assert [answer.status for answer in seen] == [200] * 3
            assert server.chat(key=key.text).status == 503, "nobody can say that it is wrong: not 401"
        finally:
            mortal.start()
        until(lambda: server.ask("/health/ready").status == 200, within_s=HEALS_S * SLACK)
        until(lambda: server.chat(key=key.text).status == 200, within_s=HEALS_S * SLACK)
        assert server.chat().status == 401
        wanted = {answer.request_id for answer in seen}
        until(lambda: wanted <= {row.id for row in server.rows(url)})


def test_kill_9_of_postgresql_under_load_costs_known_callers_nothing_and_the_books_agree(
    tmp_path: Path, mortal: PostgresServer
) -> None:
    url = mortal.new_database()
    extra = {"DATABASE_URL": url, "UNDERCROFT_MASTER_KEY": MASTER_KEY}
    assert run(tmp_path, "migrate", toml=SCRIPTED, extra=extra).exit_code == 0
    key = add_key(tmp_path, url=url)
    with serving(tmp_path, extra=extra) as server:
        until(lambda: server.chat(key=key.text).status == 200, within_s=HEALS_S * SLACK)
        seen: list[Answer] = []
        stop = threading.Event()

        def keep_calling(credential: str) -> None:
            while not stop.is_set():
                seen.append(server.chat(key=credential))

        threads = [threading.Thread(target=keep_calling, args=(each,)) for each in (MASTER_KEY, MASTER_KEY, key.text)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                time.sleep(0.3)
                mortal.kill()
                until(lambda: server.ask("/health").status == 503)
                time.sleep(0.3)
                mortal.start()
                until(lambda: server.ask("/health").status == 200, within_s=HEALS_S * SLACK)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert {answer.status for answer in seen} == {200}
        wanted = {answer.request_id for answer in seen}
        assert len(wanted) == len(seen) > 100
        until(lambda: wanted <= {row.id for row in server.rows(url)}, within_s=60)
    usage = msgspec.json.decode(run(tmp_path, "usage", "--by", "key", "--json", extra=extra).stdout)
    rows = [row for row in server.rows(url) if row.status == 200]
    assert usage["total"]["calls"] - usage["total"]["errors"] == len(rows) == len(seen) + 1
    assert usage["pending"] == []
    assert run(tmp_path, "ledger", "verify", extra=extra).exit_code == 0
