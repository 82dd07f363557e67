"""Stored provider keys under a running server, their rotation, and the log of who changed what."""

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.background import upstream_in_background
from tests.support.batches import lines, order
from tests.support.http import Answer
from tests.support.keys import add_key
from tests.support.server import SCRIPTED, Finished, command, environment, run, serving, until
from undercroft.access.actions import ACTIONS
from undercroft.api.manage.rights import DEMANDS, UNCHANGING
from undercroft.clock import SystemClock, rfc3339

MASTER = "a-master-key-of-more-than-16-characters"
SECRET = "sk-stored-0123456789abcdef"
OTHER = "sk-another-0123456789abcdef"
KEYED = {"UNDERCROFT_MASTER_KEY": MASTER}


def set_secret(folder: Path, text: str) -> Finished:
    done = subprocess.run(
        command("secrets", "set", "provider"),
        cwd=folder,
        env=environment(),
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def toml_for(base_url: str) -> str:
    deployment = f'provider = "openai_compatible"\nbase_url = "{base_url}"\napi_key = "secret:provider"\n'
    return f'[[models]]\nname = "chat"\n[[models.deployments]]\n{deployment}'


@contextmanager
def database_of(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / ".undercroft" / "undercroft.db")) as connection:
        yield connection


def test_a_stored_key_reaches_the_provider_and_nothing_else(tmp_path: Path) -> None:
    with (
        upstream_in_background() as upstream,
        serving(tmp_path, toml=toml_for(upstream.base_url), extra=KEYED) as server,
    ):
        missing = server.chat(key=MASTER)
        assert (missing.status, missing.error["code"]) == (503, "secret_missing")
        assert set_secret(tmp_path, SECRET).exit_code == 0
        until(lambda: server.chat(key=MASTER).status == 200)
        assert upstream.requests[-1].headers["authorization"] == f"Bearer {SECRET}"

        put = server.ask("/api/v1/secrets/provider", method="PUT", json={"value": OTHER}, key=MASTER)
        assert put.json == {"name": "provider", "created": False}
        assert server.chat(key=MASTER).status == 200
        assert upstream.requests[-1].headers["authorization"] == f"Bearer {OTHER}"

        shown = [
            server.ask(path, key=MASTER).body.decode() for path in ("/api/v1/secrets", "/api/v1/audit", "/metrics")
        ]
        shown += [run(tmp_path, "secrets", "list").stdout, run(tmp_path, "config", "show").stdout]
        shown += [server.stdout, server.stderr]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for secret in (SECRET, OTHER):
        assert not any(secret in text for text in shown)
        assert not any(secret.encode() in content for content in files)


def test_a_setting_that_names_a_stored_secret_gets_it_at_the_start_or_stops_it(tmp_path: Path) -> None:
    toml = SCRIPTED + '[telemetry]\nmetrics_token = "secret:provider"\n'
    refused = run(tmp_path, "serve", "--port", "0", toml=toml, extra=KEYED)
    assert refused.exit_code == 2
    assert "undercroft.toml:9: telemetry.metrics_token: there is no secret 'provider'" in refused.complaint
    assert set_secret(tmp_path, SECRET).exit_code == 0
    with serving(tmp_path, toml=toml, extra=KEYED) as server:
        assert server.ask("/metrics", key=SECRET).status == 200
        assert server.ask("/metrics", key="secret:provider").status == 401
        assert server.ask("/v1/models", key=SECRET).status in (401, 403)
        assert server.ask("/api/v1/config/reload", method="POST", key=MASTER).status == 200
        assert server.ask("/metrics", key=SECRET).status == 200
        assert set_secret(tmp_path, OTHER).exit_code == 0
        assert server.ask("/api/v1/config/reload", method="POST", key=MASTER).status == 200
        assert [server.ask("/metrics", key=key).status for key in (SECRET, OTHER)] == [401, 200]
        shown = server.stdout + server.stderr + server.ask("/api/v1/config", key=MASTER).body.decode()
    shown += run(tmp_path, "config", "show", extra=KEYED).stdout + run(tmp_path, "doctor", extra=KEYED).stdout
    assert SECRET not in shown
    assert OTHER not in shown


def test_a_rotation_under_load_fails_no_call_and_the_former_key_can_go(tmp_path: Path) -> None:
    with upstream_in_background() as upstream, serving(tmp_path, toml=toml_for(upstream.base_url)) as server:
        assert set_secret(tmp_path, SECRET).exit_code == 0
        until(lambda: server.chat().status == 200)
        statuses: list[int] = []
        stopping = threading.Event()

        def call() -> None:
            while not stopping.is_set():
                statuses.append(server.chat().status)

        caller = threading.Thread(target=call)
        caller.start()
        try:
            rotated = run(tmp_path, "secrets", "rotate", "--new-key", "--json")
            again = run(tmp_path, "secrets", "rotate", "--forget-former-keys", "--json")
            before = len(statuses)
            until(lambda: len(statuses) > before + 20)
        finally:
            stopping.set()
            caller.join()
        assert (rotated.exit_code, msgspec.json.decode(rotated.stdout)["rotated"]) == (0, 1)
        report = msgspec.json.decode(again.stdout)
        assert (report["rotated"], report["current"], report["forgotten_keys"]) == (0, 1, 1)
        assert set(statuses) == {200}
        until(lambda: server.chat().status == 200)


def test_a_lost_key_is_said_at_the_start_and_nothing_is_destroyed(tmp_path: Path) -> None:
    toml = toml_for("http://127.0.0.1:9/v1")
    (tmp_path / "undercroft.toml").write_text(toml)
    assert set_secret(tmp_path, SECRET).exit_code == 0
    with database_of(tmp_path) as database:
        before = database.execute("SELECT token FROM secrets").fetchall()
    key_file = tmp_path / ".undercroft" / "encryption.key"
    key = key_file.read_bytes()
    key_file.unlink()
    with serving(tmp_path, toml=toml) as server:
        until(lambda: "secrets_unreadable" in server.stdout + server.stderr)
        assert "cannot be read" in server.ask("/health").json["checks"]["secrets"]
        assert server.chat().error["code"] == "unreadable_secret"
        rotated = run(tmp_path, "secrets", "rotate")
        assert rotated.exit_code == 1
        assert not key_file.exists()
    with database_of(tmp_path) as database:
        assert database.execute("SELECT token FROM secrets").fetchall() == before
    key_file.write_bytes(key)
    assert run(tmp_path, "secrets", "rotate").exit_code == 0


UNDER_LOAD = {("POST", "/plans/verify")}
"""Takes a minute, and has a test of its own."""


def test_every_change_of_the_management_api_is_in_the_log_with_who_and_from_where(tmp_path: Path) -> None:
    walked: set[tuple[str, str]] = set()
    with serving(tmp_path, extra=KEYED) as server:

        def act(method: str, path: str, json: object = None, **values: str) -> Any:
            answer = server.ask("/api/v1" + path.format(**values), method=method, json=json, key=MASTER)
            assert answer.status < 300, (method, path, answer)
            walked.add((method, path))
            return answer.json if answer.body else None

        said = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
        kept = {"x-undercroft-cache-control": "use", "x-undercroft-content": "keep"}
        call = server.ask("/v1/chat/completions", json=said, headers=kept, key=MASTER)
        until(lambda: server.ask(f"/api/v1/requests/{call.request_id}/content", key=MASTER).status == 200)
        key = act("POST", "/keys", {"name": "billing"})
        act("PATCH", "/keys/{key}", {"models": ["chat"]}, key=key["id"])
        act("POST", "/keys/{key}/rotate", key=key["id"])
        act("POST", "/keys/{key}/revoke", key=key["id"])
        act("PUT", "/limits/{group}/{subject}", {"limits": [{"requests": 9}]}, group="team", subject="search")
        hook = act("POST", "/webhooks", {"url": "https://hooks.example.com/x"})
        act("PATCH", "/webhooks/{webhook_id}", {"description": "ours"}, webhook_id=hook["id"])
        act("POST", "/webhooks/{webhook_id}/replay", {"since": "2026-01-01T00:00:00Z"}, webhook_id=hook["id"])
        act("POST", "/webhooks/{webhook_id}/test", webhook_id=hook["id"])
        act("DELETE", "/webhooks/{webhook_id}", webhook_id=hook["id"])
        act("POST", "/webhooks/job-secret")
        act("POST", "/config/reload")
        act("PUT", "/log-level", {"level": "info"})
        act("POST", "/users", {"user": "ada", "password": "correct horse battery"})
        act("PATCH", "/users/{user}", {"role": "operator"}, user="ada")
        act("PUT", "/secrets/{name}", {"value": SECRET}, name="x")
        act("DELETE", "/secrets/{name}", name="x")
        act("POST", "/organisations", {"id": "acme", "admin": "root", "password": "correct horse battery"})
        act("POST", "/prompts", {"name": "greeting", "content": {"messages": [{"role": "user", "content": "hi"}]}})
        model = {"kind": "model", "name": "support"}
        act("POST", "/versions/{kind}/{name}", {"content": {"target": "chat"}}, **model)
        act("POST", "/versions/{kind}/{name}/labels/{label}", {"version": "latest"}, label="new", **model)
        act("DELETE", "/versions/{kind}/{name}/labels/{label}", label="new", **model)
        first = act("POST", "/releases", {"alias": "support", "model": "support@latest"})["id"]
        act("POST", "/releases/{release_id}/promote", {}, release_id=first)
        act("POST", "/versions/{kind}/{name}", {"content": {"target": "other"}}, **model)
        second = act("POST", "/releases", {"alias": "support", "model": "support@latest"})["id"]
        act("POST", "/releases/{release_id}/rollout", {"steps": [0.1]}, release_id=second)
        act("POST", "/aliases/{alias}/{command}", {}, alias="support", command="rollback")
        act("DELETE", "/cache/{id}", id=call.headers["x-undercroft-cache-id"])
        act("DELETE", "/requests/{id}/content", id=call.request_id)
        log = server.ask("/api/v1/audit?limit=500", key=MASTER).json["data"]
        verdict = server.ask("/api/v1/audit/verify", key=MASTER).json
    changing = {each for each in DEMANDS if each[0] != "GET" and each[1] not in UNCHANGING}
    assert walked == changing - UNDER_LOAD, "a new route is walked here too"
    assert [entry["action"] for entry in reversed(log)] == [
        "key.create", "key.change", "key.rotate", "key.revoke", "limits.set", "webhook.create", "webhook.change",
        "webhook.replay", "webhook.test", "webhook.delete", "webhook.job_secret", "config.reload", "log_level.set",
        "account.create", "account.change", "secret.set", "secret.delete", "organisation.create", "version.create",
        "version.create", "version.label", "version.unlabel", "release.create", "release.promoted", "version.create",
        "release.create", "release.started", "release.rolled_back", "cache.delete", "content.delete",
    ]  # fmt: skip
    assert {entry["action"] for entry in log} <= set(ACTIONS)
    assert {(entry["actor"], entry["address"]) for entry in log} == {("master key", "127.0.0.1")}
    assert all(entry["request_id"].startswith("req_") for entry in log)
    change = next(entry for entry in log if entry["action"] == "key.change")
    assert (change["before"]["models"], change["after"]["models"]) == (None, ["chat"])
    changed = next(entry for entry in log if entry["action"] == "account.change")
    assert changed["after"]["changed"] == ["role"]
    assert (verdict["entries"], verdict["fault"]) == (len(log), "")
    text = msgspec.json.encode(log).decode()
    assert key["key"] not in text
    assert hook["secret"] not in text
    assert SECRET not in text


def test_what_operators_do_to_callers_jobs_and_batches_is_in_the_log_and_what_callers_do_is_not(tmp_path: Path) -> None:
    in_an_hour = rfc3339(SystemClock().now_us() + 3_600_000_000)
    with serving(tmp_path, extra=KEYED) as server:
        caller, operator = add_key(tmp_path), add_key(tmp_path, permissions=("ai", "operate"))
        until(lambda: server.ask("/v1/models", key=operator.text).status == 200)

        def waiting() -> str:
            asked = {"kind": "generate", "input": {"prompt": "hi"}, "run_at": in_an_hour}
            return str(server.ask("/api/v1/jobs", json=asked, key=caller.text).json["id"])

        def act(path: str, key: str) -> Answer:
            return server.ask(path, method="POST", key=key)

        batch = order(server, lines(3000), key=caller.text)
        mine, job = waiting(), waiting()
        for each, key in ((mine, caller.text), (job, operator.text)):
            assert act(f"/api/v1/jobs/{each}/cancel", key).json["status"] == "cancelled"
            assert act(f"/api/v1/jobs/{each}/retry", key).status == 200
        assert act(f"/api/v1/jobs/{job}/retry", MASTER).status == 409
        assert act("/api/v1/jobs/job_unknown/cancel", MASTER).status == 404
        cancelled = act(f"/v1/batches/{batch}/cancel", MASTER)
        assert cancelled.status == 200, cancelled
        log = server.ask("/api/v1/audit", key=MASTER).json["data"]
    by_key = f"key {operator.id}"
    assert [(each["action"], each["subject"], each["actor"], each["address"]) for each in reversed(log)] == [
        ("job.cancel", job, by_key, "127.0.0.1"),
        ("job.retry", job, by_key, "127.0.0.1"),
        ("batch.cancel", batch, "master key", "127.0.0.1"),
    ]
    assert log[0]["request_id"] == cancelled.request_id


def test_tampering_with_any_entry_is_found(tmp_path: Path) -> None:
    for name in ("one", "two", "three", "four"):
        assert run(tmp_path, "keys", "create", "--name", name).exit_code == 0
    first = run(tmp_path, "audit", "verify", "--json")
    head = msgspec.json.decode(first.stdout)["head"]
    assert run(tmp_path, "audit", "verify", "--head", head).exit_code == 0
    assert run(tmp_path, "keys", "create", "--name", "five").exit_code == 0
    assert run(tmp_path, "audit", "verify", "--head", head).exit_code == 0
    with database_of(tmp_path) as database:
        for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="only grows"):
                database.execute(statement)
        for trigger in ("audit_no_update", "audit_no_delete"):
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE audit SET actor = 'somebody else' WHERE number = 2")
        database.commit()
    found = run(tmp_path, "audit", "verify")
    assert (found.exit_code, "entry 2 is not what was written" in found.stdout) == (1, True)
