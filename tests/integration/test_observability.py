"""Counters, ledger, log and spans tell the same of the same calls; one trace runs through all; no secret shows."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_telemetry import assert_log_agrees, assert_metrics_agree, requests_of, samples
from tests.support.background import upstream_in_background
from tests.support.collector import Collector, attributes, listening
from tests.support.http import Answer
from tests.support.raw import connected
from tests.support.server import SCRIPTED, Server, serving, until
from tests.support.upstream import Upstream

KEY = "a-master-key-that-no-log-may-show"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        yield running


def models(upstream: Upstream, *names: str, more: str = "") -> str:
    return "".join(
        f"""
[[models]]
name = "{name}"
tries = 1
{more}
[[models.deployments]]
provider = "openai_compatible"
base_url = "{upstream.base_url}"
api_key = "env:UPSTREAM_KEY"
price = {{ input = "0.15", output = "0.6" }}
"""
        for name in names
    )


def mixed(server: Server, number: int) -> Answer | None:
    """The n-th of 100 calls; None for a stream that its caller leaves."""
    said: dict[str, Any] = {"key": KEY}
    match number % 10:
        case 0 | 1:
            return server.chat("hi", **said)
        case 2:
            return server.chat("hi", model="fake", stream=True, **said)
        case 3:
            return server.chat("hi", model="broken", **said)
        case 4:
            return server.chat("hi", model="cut-stream", stream=True, **said)
        case 5:
            return server.chat("the same for all", model="same", **said)
        case 6:
            return server.ask("/v1/embeddings", json={"model": "fake", "input": ["hi"]}, **said)
        case 7:
            return server.chat("hi", model="made-up", **said)
        case 8:
            return server.ask("/v1/chat/completions", body=b"{", **said)
        case _:
            leave(server)
            return None


def leave(server: Server) -> None:
    """Asks for a stream, reads its beginning, and goes."""
    body = b'{"model":"stall-mid-stream","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n" % KEY.encode()
    with connected(server.port) as wire:
        wire.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert wire.is_open(after_s=0.3)


def test_counters_ledger_log_and_spans_agree_on_a_hundred_calls_at_once(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    collector = Collector()
    toml = SCRIPTED + models(upstream, "fake", "broken", "cut-stream", "stall-mid-stream")
    toml += models(upstream, "same", more="coalesce = true")
    with listening(collector) as address:
        extra = {
            "UNDERCROFT_MASTER_KEY": KEY,
            "UPSTREAM_KEY": "sk-upstream-key-that-no-log-may-show",
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        }
        with serving(tmp_path_factory.mktemp("mixed"), toml=toml, extra=extra) as server:
            with ThreadPoolExecutor(20) as threads:
                answers = list(threads.map(lambda number: mixed(server, number), range(100)))
            until(lambda: len(server.rows()) == 100)
            until(lambda: len(requests_of(server)) == 100)
            rows = {row.id: row for row in server.rows()}
            answered = {answer.request_id for answer in answers if answer is not None}
            assert len(answered) == 90
            assert answered < rows.keys()
            assert Counter(row.error for row in rows.values()) == Counter(
                {
                    "": 50,
                    "upstream_overloaded": 10,
                    "upstream_invalid": 10,
                    "model_not_found": 10,
                    "invalid_json": 10,
                    "client_closed": 10,
                }
            )
            assert_metrics_agree(rows, samples(server))
            assert_log_agrees(rows, requests_of(server))
        spans = collector.spans
    assert_spans_agree(rows, [(span, attributes(span)) for span in spans])


def assert_spans_agree(rows: dict[str, Any], spans: list[tuple[Any, dict[str, Any]]]) -> None:
    calls = {said["undercroft.request.id"]: (span, said) for span, said in spans if "undercroft.request.id" in said}
    assert calls.keys() == rows.keys()
    for request, (span, said) in calls.items():
        row = rows[request]
        assert span.end_time_unix_nano - span.start_time_unix_nano == row.duration_us * 1000
        assert said["http.response.status_code"] == row.status
        assert said.get("error.type", "") == row.error
        assert said.get("gen_ai.usage.output_tokens", 0) == row.output_tokens
        cost = said.get("undercroft.cost.usd", "0")
        assert round(float(cost) * 1e9) == row.cost_nano
        if row.trace:
            assert span.trace_id.hex() == row.trace
    attempts = [said for _, said in spans if "gen_ai.provider.name" in said]
    assert len(attempts) == sum(row.attempts for row in rows.values())


def test_one_trace_runs_from_the_request_through_the_job_to_the_provider(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(
        tmp_path_factory.mktemp("trace"), toml=models(upstream, "fake"), extra={"UPSTREAM_KEY": "sk-any-key-at-all"}
    ) as server:
        asked = {"kind": "chat", "input": {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}}
        job = server.ask("/api/v1/jobs", json=asked, headers={"traceparent": CALLER}).json
        until(lambda: server.ask(f"/api/v1/jobs/{job['id']}").json["status"] == "succeeded")
        broken = server.ask(
            "/v1/chat/completions",
            json={"model": "fake", "messages": [{"role": "user", "content": "hi"}]},
            headers={"traceparent": "00-broken-01"},
        )
        assert broken.status == 200
        until(lambda: len(server.ask(f"/api/v1/traces/{TRACE}").json.get("data", [])) >= 8)
        spans = {span["name"]: span for span in server.ask(f"/api/v1/traces/{TRACE}").json["data"]}
        lines = server.ask("/api/v1/traces").json["data"]
        assert server.ask("/api/v1/traces/nothing").json["error"]["code"] == "trace_not_found"
    path = ("create job", "job chat", "POST /api/v1/jobs", "attempt fake")
    assert set(path) <= spans.keys()
    assert {line["trace"] for line in lines} > {TRACE}
    parents = {span["id"]: span["parent"] for span in spans.values()}
    attempt = spans["attempt fake"]
    below = [attempt["id"]]
    while below[-1] in parents:
        below.append(parents[below[-1]])
    assert spans["job chat"]["id"] in below
    assert "stage retry" in spans
    sent = next(request for request in upstream.requests if TRACE in request.headers.get("traceparent", ""))
    assert sent.headers["traceparent"] == f"00-{TRACE}-{attempt['id']}-01"


CANARY = "sk-canary-0123456789abcdefghijklmnopqrstuvwxyz"
JOBS = f"""
import logging
import undercroft

@undercroft.job("leaky")
def leaky(n: int) -> int:
    local = "{CANARY}"
    logging.getLogger("own").error("an argument: %s", local, extra={{"field": local}})
    raise RuntimeError("the key " + local + " was refused")
"""


def test_a_secret_in_every_place_shows_nowhere(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("canary")
    (folder / "leaky_jobs.py").write_text(JOBS)
    toml = SCRIPTED + models(upstream, "broken") + '[jobs]\nmodules = ["leaky_jobs"]\n'
    extra = {"UPSTREAM_KEY": CANARY}
    with serving(folder, toml=toml, extra=extra) as server:
        server.ask("/v1/chat/completions", json={"messages": []}, headers={"authorization": f"Bearer {CANARY}"})
        server.chat(CANARY, user=CANARY)
        server.chat(CANARY, model=CANARY)
        server.chat(CANARY, model="broken")
        server.ask(f"/api/generate?prompt={CANARY}&model=chat", method="POST")
        server.ask(f"/v1/{CANARY}")
        server.ask("/v1/chat/completions", body=CANARY.encode())
        server.ask(
            "/v1/chat/completions",
            json={"model": "chat", "messages": [{"role": "user", "content": "hi"}]},
            headers={"traceparent": f"00-{TRACE}-{CANARY}-01", "x-undercroft-tags": CANARY},
        )
        job = server.ask("/api/v1/jobs", json={"kind": "leaky", "input": {"n": 1}, "max_attempts": 1}).json
        until(lambda: server.ask(f"/api/v1/jobs/{job['id']}").json["status"] == "dead")
        until(lambda: len(server.ask("/api/v1/errors").json["data"]) >= 2)
        errors = server.ask("/api/v1/errors").json["data"]
        said = {
            "metrics": server.ask("/metrics").body.decode(),
            "traces": server.ask("/api/v1/traces").body.decode(),
            "errors": json.dumps(errors),
            "usage": server.ask("/api/v1/usage?by=model").body.decode(),
            "log": server.stdout + server.stderr,
        }
    assert {error["kind"] for error in errors} >= {"RuntimeError"}
    assert "[REDACTED]" in said["errors"]
    said |= tables(folder / ".undercroft")
    assert {place for place, text in said.items() if CANARY in text} == set()


def tables(folder: Path) -> dict[str, str]:
    """Everything in the ledger and what was observed. Jobs hold what was handed in, as they must."""
    (file,) = folder.glob("*.db")
    with sqlite3.connect(file) as database:
        return {
            name: str(database.execute(f"SELECT * FROM {name}").fetchall())
            for name in ("calls", "spans", "error_groups", "api_keys", "events")
        }
