"""Requests made up from the server's own description, right and wrong ones: no 5xx, answers as described.

The cases are the same in every run. `UNDERCROFT_SCHEMA_EXAMPLES=100` makes thousands of them (`make torture`).
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.support.server import SCRIPTED, Server, serving, until

MASTER = "a-master-key-of-more-than-16-characters"
EXAMPLES = int(os.environ.get("UNDERCROFT_SCHEMA_EXAMPLES", "3"))
"""Right ones and wrong ones for each route."""
LONG = {
    "/api/v1/plans/verify",
    "/api/v1/plans/simulate",
    "/api/v1/jobs/{job_id}/events",
}
"""They load this machine, or answer, for as long as they are asked to."""
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
OF_STREAMS = [not_a_server_error, status_code_conformance]
"""What a stream's events hold is described in words: the document calls it text."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("schema"), toml=SCRIPTED, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as running:
        until(lambda: running.ask("/health/ready").status == 200)
        yield running


def operations(server: Server) -> list[Any]:
    described = server.ask("/openapi.json", key=MASTER).json
    described["paths"] = {path: item for path, item in described["paths"].items() if path not in LONG}
    schema = schemathesis.openapi.from_dict(described)
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


def named(case: Any) -> None:
    """Asks a model that there is, so that it comes to an answer."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str) and len(case.body["model"]) % 2 == 0:
        case.body["model"] = "chat"


def is_told_as_an_error(answer: Any) -> bool:
    """In OpenAI's envelope, or Anthropic's."""
    return set(answer) == {"error"} or (set(answer) >= {"type", "error"} and answer["type"] == "error")


def fault_of(case: Any, response: Any) -> str:
    """What is wrong with an answer; empty where nothing is."""
    (kind,) = response.headers.get("content-type") or [""]
    is_stream = kind.startswith("text/event-stream")
    asked = f"{case.method} {case.formatted_path} {case.query} {case.body}"[:500]
    try:
        case.validate_response(response, checks=OF_STREAMS if is_stream else CHECKS)
    except BaseExceptionGroup as group:
        return f"{group.exceptions[0]} - for {asked}: {response.status_code} {response.text[:500]}"
    if response.status_code >= 400 and not is_told_as_an_error(response.json()):
        return f"no error as errors are told - for {asked}: {response.text[:500]}"
    return ""


def test_no_request_that_can_be_made_up_breaks_a_route_or_its_description(server: Server) -> None:
    found = operations(server)
    assert len(found) > 90
    statuses: Counter[int] = Counter()
    faults: dict[str, str] = {}
    for operation in found:
        right = operation.as_strategy(GenerationMode.POSITIVE)
        wrong = operation.as_strategy(GenerationMode.NEGATIVE)

        @settings(
            max_examples=2 * EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=st.one_of(right, wrong))
        def ask(case: "schemathesis.Case") -> None:  # type: ignore[type-arg]
            named(case)
            response = case.call(base_url=server.url, headers={"authorization": f"Bearer {MASTER}"})
            statuses[response.status_code] += 1
            if fault := fault_of(case, response):
                faults[case.operation.label] = fault

        ask()
    print(f"{statuses.total()} requests to {len(found)} routes: {dict(sorted(statuses.items()))}")
    assert not faults, "\n".join(faults.values())
    assert statuses[200] + statuses[201] + statuses[202] > statuses.total() // 20, "some of them mean something"
    assert server.chat(key=MASTER).status == 200
