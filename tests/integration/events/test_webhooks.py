"""Webhooks as their users meet them: over HTTP, on the command line, with a receiver on loopback."""

import stat
from pathlib import Path

import pytest

from tests.support.receiver import ALLOWED, receiving, settle, subscribe, written_into
from tests.support.server import Server, run, serving
from undercroft.settings.encryption import ENCRYPTION_KEY_LINE

BREAKS = (
    ALLOWED
    + """
[[models]]
name = "gone"
breaker = { failures = 2, calls = 4, rest_s = 600 }
[[models.deployments]]
provider = "openai_compatible"
base_url = "http://127.0.0.1:9/v1"
"""
)


def test_a_breaker_that_opens_is_told_to_a_webhook_and_to_a_function(tmp_path: Path) -> None:
    (tmp_path / "listening.py").write_text(
        "import pathlib, undercroft\n\n"
        "@undercroft.on('upstream.*')\n"
        "async def heard(event):\n"
        "    pathlib.Path('heard').write_text(f'{event.type} {event.subject} {event.data.provider}')\n"
    )
    toml = BREAKS + '\n[events]\nmodules = ["listening"]\n'
    with receiving() as receiver, serving(tmp_path, toml=toml) as server:
        subscribe(server, receiver, "upstream.opened")
        for _ in range(2):
            server.chat(model="gone")
        settle(lambda: bool(receiver.events()), within_s=60)
        settle((tmp_path / "heard").exists, within_s=60)

    (event,) = receiver.events()
    assert (event["type"], event["data"]["id"]) == ("upstream.opened", "gone/0")
    assert event["data"]["rest_s"] == 600
    assert (tmp_path / "heard").read_text() == "upstream.opened gone/0 openai_compatible"


def test_a_webhook_from_its_making_to_its_end(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, toml=ALLOWED) as server, written_into(tmp_path) as tell:
        place = f"/api/v1/webhooks/{subscribe(server, receiver, 'job.*')}"
        assert stat.S_IMODE((tmp_path / ".undercroft" / "encryption.key").stat().st_mode) == 0o600
        shown = server.ask(place).json
        assert "secret" not in shown
        assert (shown["types"], shown["enabled"], shown["failing_since"]) == (["job.*"], True, None)
        assert receiver.secrets[0].encode() not in server.ask("/api/v1/webhooks").body
        assert server.ask("/api/v1/webhooks").json == {"data": [shown]}

        assert server.ask(f"{place}/test", json={}).json == {"delivered": True, "status": 204, "error": ""}
        (event,) = tell("job_1")
        settle(lambda: len(receiver.events()) == 2, within_s=30)
        assert [each["type"] for each in receiver.events()] == ["webhook.test", "job.running"]
        settle(lambda: server.ask(f"{place}/deliveries").json["data"][0]["state"] == "delivered", within_s=30)
        assert server.ask(f"{place}/deliveries").json["data"][0]["event"] == event.id

        replay = {"since": "2000-01-01T00:00:00Z"}
        assert server.ask(f"{place}/replay", json=replay).json == {"events": 0}
        again = server.ask(f"{place}/replay", json={**replay, "everything": True})
        assert (again.status, again.json) == (202, {"events": 1})
        settle(lambda: len(receiver.events()) == 3, within_s=30)
        assert receiver.events()[-1]["id"] == event.id

        changed = server.ask(place, method="PATCH", json={"enabled": False, "description": "mine"})
        assert (changed.json["enabled"], changed.json["reason"]) == (False, "switched off")
        assert server.ask(f"{place}/replay", json=replay).status == 409
        receiver.status = 500
        assert server.ask(f"{place}/test", json={}).json == {
            "delivered": False,
            "status": 500,
            "error": "answered 500",
        }
        assert server.ask(place, method="DELETE").status == 204
        assert server.ask(place).error["code"] == "not_found"


def test_a_webhook_that_is_switched_off_by_its_receiver_is_in_the_audit_log(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, toml=ALLOWED) as server, written_into(tmp_path) as tell:
        webhook = subscribe(server, receiver, "job.*")
        receiver.status = 410
        tell("job_1")
        settle(lambda: not server.ask(f"/api/v1/webhooks/{webhook}").json["enabled"], within_s=30)
        entries = server.ask("/api/v1/audit?action=webhook.disable").json["data"]
    assert [(each["actor"], each["subject"]) for each in entries] == [("undercroft", webhook)]
    assert "410" in entries[0]["after"]["reason"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"url": "http://10.0.0.1/"}, "address_refused", "url"),
        ({"url": "https://169.254.169.254/"}, "address_refused", "url"),
        ({"url": "file:///etc/passwd"}, "address_refused", "url"),
        ({"url": "https://example.com/", "types": ["job.dun"]}, "invalid_request", "types"),
        ({"url": "https://example.com/", "types": []}, "invalid_request", "types"),
        ({"url": "https://example.com/", "description": "x" * 501}, "invalid_request", "description"),
        ({"url": "https://example.com/", "secret": "mine"}, "invalid_request", "secret"),
        ({}, "invalid_request", "url"),
    ],
)
def test_what_is_wrong_is_refused_whole(body: dict[str, object], code: str, param: str, webhook_server: Server) -> None:
    answer = webhook_server.ask("/api/v1/webhooks", json=body)
    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == (code, param)
    assert webhook_server.ask("/api/v1/webhooks").json == {"data": []}


def test_networks_that_are_allowed_change_with_the_configuration(tmp_path: Path) -> None:
    with serving(tmp_path, toml=ALLOWED) as server:
        hook = {"url": "http://10.0.0.1:9000/"}
        assert server.ask("/api/v1/webhooks", json=hook).status == 400
        (tmp_path / "undercroft.toml").write_text(ALLOWED.replace("127.0.0.0/8", "10.0.0.0/8"))
        assert server.ask("/api/v1/config/reload", json={}).status == 200
        assert server.ask("/api/v1/webhooks", json=hook).status == 201
        assert server.ask("/api/v1/webhooks", json={"url": "http://127.0.0.1:9000/"}).status == 400


@pytest.mark.parametrize("path", ["", "/deliveries", "/replay", "/test"])
def test_an_unknown_webhook_is_404(path: str, webhook_server: Server) -> None:
    body = {"since": "2026-01-01T00:00:00Z"} if path == "/replay" else None if path in ("", "/deliveries") else {}
    answer = webhook_server.ask(f"/api/v1/webhooks/wh_none{path}", json=body)
    assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_with_postgresql_and_no_key_a_secret_is_refused_with_the_line_that_makes_one(
    tmp_path: Path, postgres_url: str
) -> None:
    extra = {"DATABASE_URL": postgres_url}
    assert run(tmp_path, "migrate", extra=extra, toml=ALLOWED).exit_code == 0
    refused = run(tmp_path, "webhooks", "create", "https://example.com/", extra=extra)
    assert refused.exit_code == 1
    assert ENCRYPTION_KEY_LINE in refused.complaint
    key = "c3VwcGx5IHNvbWUgMzIgYnl0ZXMgb2YgZW50cm9weSE="
    made = run(tmp_path, "webhooks", "create", "https://example.com/", extra={**extra, "ENCRYPTION_KEY": key})
    assert made.exit_code == 0, made.stderr


@pytest.mark.parametrize(("module", "reason"), [("nowhere", "No module named"), ("not a name", "takes text such as")])
def test_a_subscriber_that_cannot_be_loaded_stops_the_start(tmp_path: Path, module: str, reason: str) -> None:
    ended = run(tmp_path, "serve", "--port", "0", toml=f'[events]\nmodules = ["{module}"]\n')
    assert ended.exit_code == 2
    assert reason in ended.stderr
