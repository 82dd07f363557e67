"""A job's own webhook over HTTP: posted on its end, signed, tried again, seen, and nowhere that it may not go."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.support.receiver import ALLOWED, Receiver, receiving, settle
from tests.support.server import Server, run, serving
from undercroft.settings.encryption import ENCRYPTION_KEY_LINE


def hand_in(server: Server, receiver: Receiver, **fields: Any) -> str:
    body = {"kind": "generate", "input": {"prompt": "hi"}, "webhook": receiver.url, **fields}
    accepted = server.ask("/api/v1/jobs", json=body)
    assert accepted.status == 202, accepted.body
    assert accepted.json["webhook"] == receiver.url
    return str(accepted.json["id"])


def deliveries(server: Server, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ask(f"/api/v1/jobs/{job}/deliveries").json["data"]
    return found


def test_a_job_tells_its_own_webhook_that_it_has_ended_signed(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, toml=ALLOWED) as server:
        secret = server.ask("/api/v1/webhooks/job-secret", json={})
        assert secret.status == 201
        receiver.secrets.append(secret.json["secret"])
        job = hand_in(server, receiver)
        settle(lambda: bool(receiver.got), within_s=60)
        (told,) = receiver.events()
        assert (told["type"], told["data"]["id"], told["data"]["kind"]) == ("job.succeeded", job, "generate")

        settle(lambda: [each["state"] for each in deliveries(server, job)] == ["delivered"], within_s=30)
        (seen,) = deliveries(server, job)
        assert seen == {
            "event": told["id"],
            "type": "job.succeeded",
            "state": "delivered",
            "attempts": 1,
            "next_attempt_at": None,
            "status": 204,
            "error": "",
        }
        assert "job.succeeded to its webhook: delivered after 1 attempts" in run(tmp_path, "jobs", "show", job).stdout
        assert server.ask("/api/v1/webhooks").json == {"data": []}, "it is no webhook of the organisation's"
        assert len(receiver.got) == 1, "only its end is told"


def test_the_secret_is_made_for_the_first_job_and_renewed_on_demand(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, toml=ALLOWED) as server:
        hand_in(server, receiver)
        settle(lambda: len(receiver.got) == 1, within_s=60)
        renewed = run(tmp_path, "webhooks", "job-secret", "--json")
        assert renewed.exit_code == 0, renewed.stderr
        receiver.secrets.append(msgspec.json.decode(renewed.stdout)["secret"])
        hand_in(server, receiver)
        settle(lambda: len(receiver.got) == 2, within_s=60)

    first, second = receiver.got
    assert first.headers["webhook-signature"].startswith("v1,"), "signed from the first on"
    with pytest.raises(WebhookVerificationError):
        Verifier(receiver.secrets[0]).verify(first.body, first.headers)
    Verifier(receiver.secrets[0]).verify(second.body, second.headers)


def test_a_job_that_was_cancelled_and_retried_tells_each_end_and_a_failed_post_comes_again(tmp_path: Path) -> None:
    with receiving() as receiver, serving(tmp_path, toml=ALLOWED) as server:
        receiver.secrets.append(server.ask("/api/v1/webhooks/job-secret", json={}).json["secret"])
        receiver.status = 503
        job = hand_in(server, receiver, run_at="2999-01-01T00:00:00Z")
        assert server.ask(f"/api/v1/jobs/{job}/cancel", json={}).json["status"] == "cancelled"
        settle(lambda: bool(receiver.got), within_s=60)
        settle(lambda: deliveries(server, job)[0]["attempts"] == 1, within_s=30)
        (seen,) = deliveries(server, job)
        assert (seen["state"], seen["status"], seen["error"]) == ("pending", 503, "answered 503")
        assert seen["next_attempt_at"] is not None

        receiver.status = 204
        assert server.ask(f"/api/v1/jobs/{job}/retry", json={}).status == 200
        settle(lambda: [each["state"] for each in deliveries(server, job)] == ["delivered"] * 2, within_s=120)
        told = receiver.events()
        assert [each["type"] for each in told] == ["job.cancelled", "job.cancelled", "job.succeeded"]
        assert told[0]["id"] == told[1]["id"] != told[2]["id"]


@pytest.mark.parametrize(
    "url", ["https://169.254.169.254/latest", "http://10.0.0.1/", "https://user:word@example.com/", "http://[::1]:9/"]
)
def test_an_address_that_may_not_be_reached_is_refused_whole(webhook_server: Server, url: str) -> None:
    body = {"kind": "generate", "input": {"prompt": "hi"}, "webhook": url}
    refused = webhook_server.ask("/api/v1/jobs", json=body)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "address_refused", "webhook")
    assert webhook_server.ask("/api/v1/jobs").json["data"] == []


def test_with_postgresql_and_no_key_a_webhook_is_refused_with_the_line_that_makes_one(
    tmp_path: Path, postgres_url: str
) -> None:
    extra = {"DATABASE_URL": postgres_url}
    assert run(tmp_path, "migrate", extra=extra, toml=ALLOWED).exit_code == 0
    with serving(tmp_path, toml=ALLOWED, extra=extra) as server:
        plain = {"kind": "generate", "input": {"prompt": "hi"}}
        refused = server.ask("/api/v1/jobs", json={**plain, "webhook": "https://example.com/"})
        assert (refused.status, refused.error["code"]) == (409, "encryption_key_missing")
        assert ENCRYPTION_KEY_LINE in refused.error["message"]
        assert server.ask("/api/v1/jobs", json=plain).status == 202
