"""Ledger, metrics and log of a running server tell the same story of the same calls."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.background import upstream_in_background
from tests.support.http import Answer
from tests.support.raw import connected
from tests.support.server import SCRIPTED, Server, serving, until
from tests.support.upstream import Upstream
from undercroft.money import format_usd

MASTER_KEY = "a-master-key-that-no-log-may-show"
UPSTREAM_KEY = "sk-upstream-key-that-no-log-may-show"
PROMPT = "a prompt that no log may show"
FOUR = ("ai_api_calls_total", "ai_api_errors_total", "ai_api_latency_seconds", "ai_active_requests")
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        yield running


@pytest.fixture
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = "".join(
        f"""
[[models]]
name = "{name}"
[[models.deployments]]
provider = "openai_compatible"
base_url = "{upstream.base_url}"
api_key = "env:UPSTREAM_KEY"
price = {{ input = "0.15", output = "0.6" }}
"""
        for name in ("fake", "broken", "cut-stream", "silent")
    )
    extra = {"UNDERCROFT_MASTER_KEY": MASTER_KEY, "UPSTREAM_KEY": UPSTREAM_KEY}
    with serving(tmp_path_factory.mktemp("telemetry"), toml=SCRIPTED + models, extra=extra) as running:
        yield running


def mixed_traffic(server: Server) -> list[Answer]:
    """Every way a call can end, several times."""
    said = {"key": MASTER_KEY}
    found = []
    for _ in range(5):
        found += [server.chat(PROMPT, model=model, **said) for model in ("chat", "fake", "broken", "nobody")]
        found += [server.chat(PROMPT, model=model, stream=True, **said) for model in ("chat", "fake", "cut-stream")]
        found += [
            server.ask("/v1/embeddings", json={"model": "fake", "input": [PROMPT]}, **said),
            server.ask("/v1/completions", json={"model": "chat", "prompt": PROMPT}, **said),
            server.ask("/api/generate?prompt=hi&model=fake", method="POST", **said),
            server.ask("/api/generate", json={"prompt": 5}, **said),
            server.ask("/v1/chat/completions", body=b"{", **said),
            server.chat(PROMPT, model="made-up-" + "x" * 300 + '"\\', **said),
            server.chat(PROMPT),  # without the key
        ]
    with connected(server.port) as wire:  # one that leaves
        body = b'{"model":"silent","messages":[{"role":"user","content":"hi"}]}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n"
        wire.send(head % MASTER_KEY.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert wire.is_open(after_s=0.3)
    for path in ("/health", "/metrics", "/nowhere", "/v1/models", "/api/v1/usage"):
        server.ask(path, **said)
    return found


def samples(server: Server) -> Samples:
    found: Samples = defaultdict(dict)
    answer = server.ask("/metrics", key=MASTER_KEY)
    assert answer.headers["content-type"].startswith("text/plain")
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            found[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
    return found


def at(row: Any, **more: str) -> tuple[tuple[str, str], ...]:
    labels = {"endpoint": row.endpoint, "model": row.model or "other", "provider": row.provider, **more}
    return tuple(sorted(labels.items()))


def test_ledger_metrics_and_log_agree_on_every_call(server: Server) -> None:
    answers = mixed_traffic(server)
    until(lambda: len(server.rows()) == len(answers) + 1)
    until(lambda: len(requests_of(server)) == len(answers) + 1)
    rows = {row.id: row for row in server.rows()}
    assert {answer.request_id for answer in answers} < set(rows)
    assert Counter(row.status for row in rows.values() if row.id in {each.request_id for each in answers}) == Counter(
        # A stream that breaks has said 200 before; the books know better.
        502 if answer.status == 200 and b'data: {"error"' in answer.body else answer.status
        for answer in answers
    )
    assert_metrics_agree(rows, samples(server))
    assert_log_agrees(rows, requests_of(server))


def requests_of(server: Server) -> list[dict[str, Any]]:
    return [event for event in server.events if event["event"] == "api_request"]


def assert_metrics_agree(rows: dict[str, Any], found: Samples) -> None:
    calls, errors, costs = Counter(), Counter(), Counter()  # type: ignore[var-annotated]  # of label sets
    tokens: Counter[tuple[tuple[str, str], ...]] = Counter()
    for row in rows.values():
        calls[at(row)] += 1
        costs[at(row)] += row.cost_nano
        if row.error:
            errors[at(row, type=row.error)] += 1
        for name, count in (("input", row.input_tokens), ("output", row.output_tokens)):
            tokens[at(row, **{"class": name})] += count
    assert present(found["ai_api_calls_total"]) == dict(calls)
    assert present(found["ai_api_errors_total"]) == dict(errors)
    assert present(found["ai_api_latency_seconds_count"]) == dict(calls)
    assert present(found["ai_tokens_total"]) == {key: count for key, count in tokens.items() if count}
    for key, nano in costs.items():
        assert found["ai_cost_usd_total"].get(key, 0) == pytest.approx(nano / 1e9, rel=1e-9)
    assert set(found["ai_active_requests"].values()) == {0}
    for name in ("ai_api_calls_total", "ai_api_errors_total", "ai_active_requests"):
        shown = {value for labels in found[name] for key, value in labels if key == "model"}
        assert shown <= {"chat", "fake", "broken", "cut-stream", "silent", "same", "stall-mid-stream", "other"}


def present(series: dict[tuple[tuple[str, str], ...], float]) -> dict[tuple[tuple[str, str], ...], float]:
    return {labels: value for labels, value in series.items() if value}


def assert_log_agrees(rows: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    assert sorted(line["request_id"] for line in lines) == sorted(rows)
    for line in lines:
        row = rows[line["request_id"]]
        assert {"event", "level", "logger", "timestamp"} <= set(line)
        assert (line["endpoint"], line["model"], line["status"]) == (row.endpoint, row.model, row.status)
        assert (line["tokens"], line["cost"]) == (row.input_tokens + row.output_tokens, format_usd(row.cost_nano))
        assert (line["latency_ms"], line["user_id"]) == (row.duration_us / 1000, row.user_id)
        assert line.get("error", "") == row.error
        assert line["level"] == ("error" if row.status >= 500 else "info")
        assert line["timestamp"].endswith("Z")


def test_no_log_shows_a_key_or_a_prompt(server: Server) -> None:
    mixed_traffic(server)
    until(lambda: len(requests_of(server)) > 50)
    for secret in (MASTER_KEY, UPSTREAM_KEY, PROMPT):
        assert secret not in server.stdout + server.stderr


def test_a_trace_and_an_end_user_are_on_the_line_and_in_the_row(server: Server) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = server.ask(
        "/v1/chat/completions",
        json={"model": "chat", "user": "someone", "messages": [{"role": "user", "content": "hi"}]},
        key=MASTER_KEY,
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
    )
    until(lambda: bool(requests_of(server) and server.rows()))
    (line,), (row,) = requests_of(server), server.rows()
    assert line["request_id"] == row.id == answer.request_id
    assert line["trace_id"] == row.trace == trace
    assert line["end_user"] == row.end_user == "someone"


def test_the_four_metrics_are_there_as_openmetrics_too(server: Server) -> None:
    assert (server.chat(key=MASTER_KEY).status, server.chat().status) == (200, 401)
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    answer = server.ask("/metrics", key=MASTER_KEY, headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    parse: Any = openmetrics.text_string_to_metric_families
    families = {family.name for family in parse(answer.body.decode())}
    for name in FOUR:
        assert name.removesuffix("_total") in families


def test_a_model_that_stands_in_is_named_in_a_header_and_only_the_configured_one_in_a_label(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    toml = f"{SCRIPTED}\n[server]\naccept_any_model = true\n"
    with serving(tmp_path_factory.mktemp("any"), toml=toml) as server:
        for asked, shown in (
            ("gpt-5-mini", "gpt-5-mini"),
            ("modèle", "mod\\xe8le"),
            ("a\r\nset-cookie: b", "aset-cookie: b"),
            ("long" * 100, ("long" * 100)[:200]),
        ):
            answer = server.chat(model=asked)
            assert answer.status == 200
            assert answer.headers["x-undercroft-model-substituted"] == shown
            assert "set-cookie" not in answer.headers
            streamed = server.chat(model=asked, stream=True)
            assert streamed.headers["x-undercroft-model-substituted"] == shown
        assert "x-undercroft-model-substituted" not in server.chat(model="chat").headers
        until(lambda: len(server.rows()) == 9)
        assert {row.model for row in server.rows()} == {"chat"}
        told = server.ask("/metrics").body.decode()
        assert 'model="chat"' in told
        assert "gpt-5-mini" not in told
