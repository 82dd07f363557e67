"""Requests made up from the management API's own description, right and wrong ones: no 5xx, answers as described."""

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.support.server import SCRIPTED, Server, serving, until

MASTER = "a-master-key-of-more-than-16-characters"
EXAMPLES = int(os.environ.get("UNDERCROFT_SCHEMA_EXAMPLES", "2"))
"""Of each kind for each route: a smoke test, or with 100 thousands of requests."""
LONG = {"/api/v1/plans/verify", "/api/v1/plans/simulate"}
"""They load this machine for as long as they are asked to."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("schema"), toml=SCRIPTED, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as running:
        until(lambda: running.ask("/health/ready").status == 200)
        yield running


def test_no_request_that_can_be_made_up_breaks_the_management_api(server: Server) -> None:
    described = server.ask("/openapi.json", key=MASTER).json
    described["paths"] = {
        path: item
        for path, item in described["paths"].items()
        if path.startswith("/api/v1/") and not path.startswith("/api/v1/jobs") and path not in LONG
    }
    schema = schemathesis.openapi.from_dict(described)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 25
    asked = 0
    for operation in operations:
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
            nonlocal asked
            asked += 1
            response = case.call(base_url=server.url, headers={"authorization": f"Bearer {MASTER}"})
            case.validate_response(response, checks=[not_a_server_error])
            if response.status_code >= 400:
                assert set(response.json()) == {"error"}, response.text

        ask()
    print(f"{asked} requests to {len(operations)} routes")
    assert server.chat(key=MASTER).status == 200
