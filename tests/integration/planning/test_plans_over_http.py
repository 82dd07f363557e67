"""`/api/v1/plans`: the same numbers as the command line, and refusals by field."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server, run, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("plans")) as server:
        yield server


def typed(server: Server, *arguments: str) -> Any:
    done = run(server.folder, "plan", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_a_plan_is_the_same_typed_and_asked(server: Server) -> None:
    asked = server.ask(
        "/api/v1/plans",
        json={"daily_requests": 1e6, "avg_ms": 200, "p95_target_ms": 900, "tokens_in": 500, "model": "gpt-5-mini"},
    )
    said = typed(
        server, "estimate", "--daily-requests", "1e6", "--avg-ms", "200", "--p95-target-ms", "900",
        "--tokens-in", "500", "--model", "gpt-5-mini",
    )  # fmt: skip

    assert asked.status == 200
    assert asked.json == said


def test_a_comparison_is_the_same_typed_and_asked(server: Server) -> None:
    asked = server.ask(
        "/api/v1/plans/compare", json={"daily_requests": 1e5, "avg_ms": 100, "regions": {"azure": "westeurope"}}
    )
    said = typed(server, "compare", "--daily-requests", "1e5", "--avg-ms", "100", "--region", "azure/westeurope")

    assert asked.json == said


def test_instances_are_the_same_typed_and_asked(server: Server) -> None:
    asked = server.ask("/api/v1/plans/instances", json={"workload": "training", "provider": "gcp"})

    assert asked.json == typed(server, "instances", "--workload", "training", "--provider", "gcp")


def test_a_simulation_is_the_same_typed_and_asked(server: Server) -> None:
    asked = server.ask(
        "/api/v1/plans/simulate",
        json={
            "rate": 10, "avg_ms": 300, "duration_s": 600, "replicas": 4,
            "bursts": [{"start_s": 100, "end_s": 200, "factor": 3}], "clients": {"timeout_s": 5, "retries": 2},
        },
    )  # fmt: skip
    said = typed(
        server, "simulate", "--rate", "10", "--avg-ms", "300", "--duration", "600", "--replicas", "4",
        "--burst", "100:200:3", "--timeout", "5", "--retries", "2",
    )  # fmt: skip

    assert asked.json == said


def test_savings_and_telemetry_come_from_the_ledger(server: Server) -> None:
    few = server.ask("/api/v1/plans", json={"from_telemetry": True})
    for place in range(25):
        assert server.chat(f"hello {place}").status == 200
    said = typed(server, "optimize", "--since", "1h")
    told = typed(server, "estimate", "--from-telemetry", "--since", "1h")
    asked = server.ask("/api/v1/plans/savings?days=1&replicas=2")
    planned = server.ask("/api/v1/plans", json={"from_telemetry": True, "days": 1})

    assert few.status == 404
    assert "fewest to plan from" in few.error["message"]
    assert said["calls"] == asked.json["calls"] == 25
    assert said["spent"] == pytest.approx(asked.json["spent"])
    assert {each["what"] for each in asked.json["savings"]} >= {"cacheable repeats", "idle replicas"}
    basis = {each["name"]: each["basis"] for each in planned.json["assumptions"]}
    assert basis["avg_ms"] == basis["daily_requests"] == basis["peak_factor"] == "measured"
    assert planned.json["peak_rate"] == pytest.approx(told["peak_rate"])


@pytest.mark.parametrize(
    ("path", "body", "param", "complaint"),
    [
        ("", {"daily_requests": 0, "avg_ms": 1}, "daily_requests", "it must be from 1 to 1e+10; the nearest is 1"),
        ("", {"daily_requests": 1e30, "avg_ms": 1}, "daily_requests", "the nearest is 1e+10"),
        ("", {"daily_requests": 10}, "avg_ms", "avg_ms is missing"),
        ("", {"daily_requests": "many", "avg_ms": 1}, "daily_requests", "Expected `float | null`, got `str`"),
        ("", {"dayly_requests": 10}, None, "unknown field `dayly_requests`"),
        ("/instances", {"provider": "aws", "region": "us-east-9"}, "region", "the nearest is 'us-east-1'"),
        ("/instances", {"region": "us-east-1"}, "provider", "region needs provider"),
        ("/compare", {"daily_requests": 10, "avg_ms": 1, "regions": {"aws": "mars"}}, "region", "is not known"),
        ("/simulate", {"rate": 1000, "avg_ms": 1, "duration_s": 1e4}, "duration_s", "are more than the 1000000"),
        ("/simulate", {"rate": -1, "avg_ms": 1}, "rate", "rate is -1"),
        ("/verify", {"duration_s": 0}, "duration", "duration is 0"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_name(
    path: str, body: dict[str, object], param: str | None, complaint: str, server: Server
) -> None:
    answer = server.ask(f"/api/v1/plans{path}", json=body)

    assert answer.status == 400
    assert complaint in answer.error["message"]
    assert answer.error["param"] == param


def test_plans_are_in_the_openapi_document_with_their_schemas(server: Server) -> None:
    document = server.ask("/openapi.json").json
    operation = document["paths"]["/api/v1/plans"]["post"]

    for schema in (
        operation["requestBody"]["content"]["application/json"]["schema"],
        operation["responses"]["200"]["content"]["application/json"]["schema"],
    ):
        name = schema["$ref"].rpartition("/")[2]
        assert document["components"]["schemas"][name]["properties"]


def test_plans_are_for_those_who_manage(tmp_path: Path) -> None:
    with serving(tmp_path, extra={"UNDERCROFT_MASTER_KEY": "m" * 32}) as closed:
        assert closed.ask("/api/v1/plans", json={"daily_requests": 10, "avg_ms": 1}).status == 401
        assert closed.ask("/api/v1/plans", json={"daily_requests": 10, "avg_ms": 1}, key="m" * 32).status == 200
