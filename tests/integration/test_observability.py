"""Counters, ledger, log and spans tell the same of the same calls; one trace runs through all; no secret shows."""

import json
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_telemetry import assert_log_agrees, assert_metrics_agree, requests_of, samples
from tests.support.background import upstream_in_background
from tests.support.collector import Collector, attributes, listening
from tests.support.http import Answer
from tests.support.raw import connected
from tests.support.sentry import Envelopes
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


def test_a_search_of_a_vector_store_and_its_embeddings_are_in_the_callers_trace(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    toml = models(upstream, "fake") + '[vectors]\nembedding_model = "fake"\n'
    with serving(tmp_path_factory.mktemp("search"), toml=toml, extra={"UPSTREAM_KEY": "sk-any-key-at-all"}) as server:
        store = server.ask("/v1/vector_stores", json={"name": "a"}).json["id"]
        form = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        form += (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nopen on Mondays\r\n--x--\r\n'
        )
        headers = {"content-type": "multipart/form-data; boundary=x"}
        file = server.ask("/v1/files", body=form, headers=headers).json["id"]
        server.ask(f"/v1/vector_stores/{store}/files", json={"file_id": file})
        until(lambda: server.ask(f"/v1/vector_stores/{store}").json["file_counts"]["completed"] == 1)
        asked = server.ask(
            f"/v1/vector_stores/{store}/search", json={"query": "when?"}, headers={"traceparent": CALLER}
        )
        assert (asked.status, len(asked.json["data"])) == (200, 1)
        until(lambda: len(server.ask(f"/api/v1/traces/{TRACE}").json.get("data", [])) >= 4)
        spans = server.ask(f"/api/v1/traces/{TRACE}").json["data"]
    (searched,) = (span for span in spans if span["name"] == "search vector store")
    (attempt,) = (span for span in spans if span["name"] == "attempt fake")
    queries = [span for span in spans if span["kind"] == "client" and span != attempt]
    assert searched["parent"] == CALLER.split("-")[2]
    assert {span["parent"] for span in queries} == {searched["id"]}
    sent = [each.headers["traceparent"] for each in upstream.requests if TRACE in each.headers.get("traceparent", "")]
    assert f"00-{TRACE}-{attempt['id']}-01" in sent


@contextmanager
def collector_that(does: str) -> Iterator[str]:
    """Its address: nobody is there (`away`), it takes connections and says nothing (`stuck`), or takes no spans."""
    if does == "refuses":

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_error(500)

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()
        thread.join()
        return
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        if does == "away":
            stuck.close()
            yield "http://127.0.0.1:9"
        else:
            yield f"http://127.0.0.1:{stuck.getsockname()[1]}"


@pytest.mark.parametrize("does", ["away", "stuck", "refuses"])
def test_a_collector_that_does_not_do_slows_and_fails_no_call(
    does: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def seconds_for_calls(server: Server) -> float:
        began = time.monotonic()
        assert {server.chat().status for _ in range(100)} == {200}
        return time.monotonic() - began

    with serving(tmp_path_factory.mktemp("alone"), toml=SCRIPTED) as server:
        seconds_for_calls(server)
        alone_s = seconds_for_calls(server)
    with collector_that(does) as address:
        extra = {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
        with serving(tmp_path_factory.mktemp(does), toml=SCRIPTED, extra=extra) as server:
            seconds_for_calls(server)
            with_s = seconds_for_calls(server)
            if does != "stuck":  # until its time is up, nothing is lost yet
                until(lambda: dropped_spans(server) > 0, within_s=60)
            assert server.ask("/health").status == 200
    print(f"100 calls took {alone_s:.2f} s, with a collector that {does}: {with_s:.2f} s")
    assert with_s < alone_s * 10


def dropped_spans(server: Server) -> float:
    found = samples(server).get("ai_telemetry_dropped_total", {})
    return found.get((("signal", "spans"),), 0.0)


def test_a_scrape_while_the_server_winds_down_is_answered(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    toml = SCRIPTED + models(upstream, "stall-mid-stream") + "[server]\nshutdown_grace_s = 3\n"
    with serving(tmp_path_factory.mktemp("ending"), toml=toml, extra={"UPSTREAM_KEY": "sk-any-key-at-all"}) as server:
        assert server.chat().status == 200
        body = b'{"model":"stall-mid-stream","stream":true,"messages":[{"role":"user","content":"hi"}]}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        with connected(server.port) as wire:
            wire.send(head + body)
            assert wire.is_open(after_s=0.3)
            server.process.send_signal(signal.SIGTERM)
            scrape = server.ask("/metrics")
            assert scrape.status == 200
            assert b"ai_api_calls_total" in scrape.body
            assert server.process.wait(timeout=60) == 0


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


def plant(server: Server) -> None:
    """Sends the secret in by header, body, query, path, label, tag and traceparent, has it logged and raised by a job
    with it among the local variables, and has it in a change that the audit log tells of."""
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
    hook = {"url": "https://hooks.example.com/", "description": f"with {CANARY}"}
    assert server.ask("/api/v1/webhooks", json=hook).status == 201
    job = server.ask("/api/v1/jobs", json={"kind": "leaky", "input": {"n": 1}, "max_attempts": 1}).json
    until(lambda: server.ask(f"/api/v1/jobs/{job['id']}").json["status"] == "dead")


def leaky(upstream: Upstream, folder: Path) -> str:
    (folder / "leaky_jobs.py").write_text(JOBS)
    return SCRIPTED + models(upstream, "broken") + '[jobs]\nmodules = ["leaky_jobs"]\n'


def test_a_secret_in_every_place_shows_nowhere(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("canary")
    with serving(folder, toml=leaky(upstream, folder), extra={"UPSTREAM_KEY": CANARY}) as server:
        plant(server)
        until(lambda: len(server.ask("/api/v1/errors").json["data"]) >= 2)
        errors = server.ask("/api/v1/errors").json["data"]
        said = {
            "metrics": server.ask("/metrics").body.decode(),
            "traces": server.ask("/api/v1/traces").body.decode(),
            "errors": json.dumps(errors),
            "usage": server.ask("/api/v1/usage?by=model").body.decode(),
            "audit": server.ask("/api/v1/audit").body.decode(),
            "log": server.stdout + server.stderr,
        }
    assert {error["kind"] for error in errors} >= {"RuntimeError"}
    assert "[REDACTED]" in said["errors"]
    assert "[REDACTED]" in said["audit"]
    said |= tables(folder / ".undercroft")
    assert {place for place, text in said.items() if CANARY in text} == set()


def test_a_secret_in_every_place_reaches_neither_sentry_nor_a_collector(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, collector, sentry = tmp_path_factory.mktemp("outside"), Collector(), Envelopes()
    with listening(collector) as address, sentry.listening() as dsn:
        extra = {"UPSTREAM_KEY": CANARY, "OTEL_EXPORTER_OTLP_ENDPOINT": address, "SENTRY_DSN": dsn}
        with serving(folder, toml=leaky(upstream, folder), extra=extra) as server:
            plant(server)
            until(lambda: any("RuntimeError" in each for each in sentry.bodies))
            until(lambda: any(span.name == "attempt broken" for span in collector.spans))
    assert len(collector.spans) > 10
    assert CANARY not in str(collector.requests)
    assert CANARY not in "".join(sentry.bodies)
    assert "[REDACTED]" in "".join(sentry.bodies)


def tables(folder: Path) -> dict[str, str]:
    """Everything in the ledger and what was observed. Jobs hold what was handed in, as they must."""
    (file,) = folder.glob("*.db")
    with sqlite3.connect(file) as database:
        return {
            name: str(database.execute(f"SELECT * FROM {name}").fetchall())
            for name in ("calls", "spans", "error_groups", "api_keys", "events", "audit")
        }
