"""Batches and real processes: killed in the middle, and shared by servers and workers on PostgreSQL."""

import os
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.batches import finished, lines, order
from tests.support.keys import add_key
from tests.support.server import Server, run, serving, started, until
from undercroft.cli.main import main

LINES = int(os.environ.get("UNDERCROFT_FAULT_JOBS", "300"))
"""Of a batch; `make torture` takes more."""
KILLS = 4
TOML = """
[jobs]
at_once = 16
lease_s = 1

[[models]]
name = "chat"
[[models.deployments]]
provider = "scripted"
script = "One two three four five."
price = { input = "1", output = "2" }
batch_price = { input = "0.5", output = "1" }
"""


def assert_whole(server: Server, told: dict[str, Any], count: int) -> None:
    assert told["status"] == "completed", told
    assert told["request_counts"] == {"total": count, "completed": count, "failed": 0}
    assert told["error_file_id"] is None
    answers = server.ask(f"/v1/files/{told['output_file_id']}/content").body.splitlines()
    named = [msgspec.json.decode(line)["custom_id"] for line in answers]
    assert named == [f"line-{number}" for number in range(count)], "each once"


def test_a_server_that_is_killed_again_and_again_loses_no_line_and_records_none_twice(tmp_path: Path) -> None:
    seed = int(os.environ.get("UNDERCROFT_FAULT_SEED") or random.randrange(10**6))
    rng = random.Random(seed)
    print(f"seed {seed}")
    batch = ""
    for _ in range(KILLS):
        with started(tmp_path, toml=TOML) as server:
            until(lambda server=server: server.ask("/health/ready").status == 200)  # type: ignore[misc]
            if not batch:
                batch = order(server, lines(LINES))
            time.sleep(rng.uniform(0.0, 0.6))
            server.kill()
    with serving(tmp_path, toml=TOML) as server:
        told = finished(server, batch)
        assert_whole(server, told, LINES)
        until(lambda: len(booked(server, batch)) >= LINES)
        rows = booked(server, batch)
        assert {row.price for row in rows if row.status == 200} == {"settings 0.5/1"}
        assert [each["id"] for each in server.ask("/v1/batches").json["data"]] == [batch]
        assert {each["purpose"] for each in server.ask("/v1/files").json["data"]} == {"batch", "batch_output"}
        assert run(tmp_path, "ledger", "verify", toml=TOML).exit_code == 0


def booked(server: Server, batch: str) -> list[Any]:
    return [row for row in server.rows() if row.tags == {"batch": batch}]


def test_with_postgresql_any_server_sees_a_batch_through(tmp_path: Path, postgres_url: str) -> None:
    extra = {"DATABASE_URL": postgres_url}
    assert run(tmp_path, "migrate", extra=extra, toml=TOML).exit_code == 0
    accepting = tmp_path / "accepting"
    with serving(accepting, "--role", "gateway,console", toml=TOML, extra=extra) as server:
        batch = order(server, lines(60))
        with started(tmp_path / "one", toml=TOML, extra=extra) as one:
            until(lambda: server.ask(f"/v1/batches/{batch}").json["status"] != "validating", within_s=60)
            one.kill()
        with serving(tmp_path / "two", toml=TOML, extra=extra):
            assert_whole(server, finished(server, batch), 60)


def test_another_organisation_never_sees_a_batch(tmp_path: Path) -> None:
    with serving(tmp_path, toml=TOML) as server:
        mine, theirs = add_key(tmp_path).text, add_key(tmp_path, organisation="acme").text
        until(lambda: {server.ask("/v1/models", key=key).status for key in (mine, theirs)} == {200})
        batch = order(server, lines(2), key=mine)
        for path, method in ((f"/{batch}", "GET"), (f"/{batch}/cancel", "POST")):
            assert server.ask(f"/v1/batches{path}", method=method, key=theirs).status == 404
        assert server.ask("/v1/batches", key=theirs).json["data"] == []
        file = server.ask(f"/v1/batches/{batch}", key=mine).json["input_file_id"]
        asked = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        assert server.ask("/v1/batches", json=asked, key=theirs).error["param"] == "input_file_id"
        until(lambda: server.ask(f"/v1/batches/{batch}", key=mine).json["status"] == "completed")


def test_the_command_line_makes_shows_and_awaits_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "UNDERCROFT_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def typed(*words: str, code: int = 0) -> str:
        """What the command says, on stdout when it goes well."""
        assert main(["batches", *words]) == code
        printed = capsys.readouterr()
        return printed.out if not printed.err else printed.err

    endpoint = ("--endpoint", "/v1/chat/completions")
    (tmp_path / "in.jsonl").write_bytes(lines(5))
    assert "no server ever ran there" in typed("list", code=1)
    with serving(tmp_path, toml=TOML):
        batch = msgspec.json.decode(typed("create", "in.jsonl", *endpoint, "--metadata", "a=b", "--json"))
        assert (batch["status"], batch["metadata"]) == ("validating", {"a": "b"})
        assert "completed" in typed("wait", batch["id"], "--output", "out.jsonl", "--timeout", "50")
        assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 5
        assert batch["id"] in typed("list")
        assert "request_counts" in typed("show", batch["id"])
        assert "can be cancelled" in typed("cancel", batch["id"], code=1)
        assert "No batch found" in typed("show", "batch_none", code=1)
        assert "There is no file" in typed("create", "none.jsonl", *endpoint, code=2)
        assert "NAME=VALUE" in typed("create", "in.jsonl", *endpoint, "--metadata", "x", code=2)
        (tmp_path / "in.jsonl").write_bytes(b"{")
        wrong = msgspec.json.decode(typed("create", "in.jsonl", *endpoint, "--json"))
        assert "line 1: We could not parse" in typed("wait", wrong["id"], "--timeout", "50", code=1)
