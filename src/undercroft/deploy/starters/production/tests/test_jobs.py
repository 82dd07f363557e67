"""What the background does: handed in over HTTP, as callers do it."""

import time

from starlette.testclient import TestClient


def test_a_digest_has_a_sentence_for_each_text(client: TestClient) -> None:
    accepted = client.post("/api/v1/jobs", json={"kind": "digest", "input": {"texts": ["one", "two"]}})
    assert accepted.status_code == 202, accepted.text

    deadline = time.monotonic() + 30
    while (job := client.get(f"/api/v1/jobs/{accepted.json()['id']}").json())["status"] not in ("succeeded", "dead"):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)

    assert job["result"] == ["A text about tests."] * 2


def test_an_input_that_a_digest_cannot_take_is_refused_at_once(client: TestClient) -> None:
    refused = client.post("/api/v1/jobs", json={"kind": "digest", "input": {"texts": "one"}})

    assert refused.status_code == 400
