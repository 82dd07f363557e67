"""A server in front of PostgreSQL: before the schema, after the migration, and while the database is away."""

import time
from pathlib import Path

from tests.support.postgres import PostgresServer
from tests.support.server import SCRIPTED, run, serving, started, until

MASTER_KEY = "a-master-key-of-some-length"


def test_before_the_schema_it_names_the_migration_and_after_it_serves_without_a_restart(
    tmp_path: Path, postgres_url: str
) -> None:
    extra = {"DATABASE_URL": postgres_url}
    with started(tmp_path, toml=SCRIPTED, extra=extra) as server:
        until(lambda: server.ask("/health").status == 503)
        assert server.ask("/health/live").status == 200
        for path in ("/health", "/health/ready"):
            answer = server.ask(path)
            assert answer.status == 503
            assert b"undercroft migrate" in answer.body
        refused = server.chat()
        assert (refused.status, refused.error["code"]) == (503, "database_unavailable")
        assert "undercroft migrate" in refused.error["message"]

        assert run(tmp_path, "migrate", extra=extra).exit_code == 0
        migrated = time.monotonic()
        until(lambda: server.chat().status == 200)
        assert time.monotonic() - migrated < 20  # figure: 2 s
        assert server.ask("/health/ready").status == 200
        until(lambda: len(server.rows(postgres_url)) >= 1)


def test_a_server_that_cannot_reach_its_database_listens_and_says_so(tmp_path: Path) -> None:
    extra = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    with started(tmp_path, toml=SCRIPTED, extra=extra) as server:
        until(lambda: server.ask("/health").status == 503)
        assert server.ask("/health/live").status == 200
        assert server.chat().status == 503


def test_known_callers_are_served_while_the_database_is_away_and_nothing_is_lost(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.new_database()
    extra = {"DATABASE_URL": url, "UNDERCROFT_MASTER_KEY": MASTER_KEY}
    assert run(tmp_path, "migrate", toml=SCRIPTED, extra=extra).exit_code == 0
    with serving(tmp_path, toml=SCRIPTED, extra=extra) as server:
        ids = [server.chat(key=MASTER_KEY).request_id]
        postgres_server.stop()
        until(lambda: server.ask("/health").status == 503)
        for _ in range(5):
            answer = server.chat(key=MASTER_KEY)
            assert answer.status == 200
            ids.append(answer.request_id)
        postgres_server.start()
        until(lambda: server.ask("/health").status == 200, within_s=60)
        until(lambda: len(server.rows(url)) == len(ids), within_s=60)
        assert sorted(row.id for row in server.rows(url)) == sorted(ids)
