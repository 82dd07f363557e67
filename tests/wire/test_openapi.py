"""Requests made up from our own document, right and wrong ones: no 5xx, and each answer is as the document says."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.server import SCRIPTED, Server, serving
from undercroft.wire.openapi import document

SCHEMA = schemathesis.openapi.from_dict(document(version="0"))
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
EXAMPLES = int(os.environ.get("UNDERCROFT_SCHEMA_EXAMPLES", "6"))
"""Of each kind for each route: a smoke test, or with 100 thousands of requests."""


@pytest.fixture(scope="module")
def scripted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    toml = f"{SCRIPTED}\n[server]\naccept_any_model = true\n"
    with serving(tmp_path_factory.mktemp("openapi"), toml=toml) as running:
        yield running


@pytest.mark.parametrize("label", sorted(label for label in OPERATIONS if "/v1/" in label or "/api/" in label))
def test_every_answer_is_as_the_document_says(scripted_server: Server, label: str) -> None:
    operation = OPERATIONS[label]
    right = operation.as_strategy(GenerationMode.POSITIVE)
    wrong = operation.as_strategy(GenerationMode.NEGATIVE)
    answered: set[int] = set()

    @settings(
        max_examples=2 * EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(right, wrong))
    def ask(case: "schemathesis.Case[Any]") -> None:
        response = case.call(base_url=scripted_server.url)
        answered.add(response.status_code)
        # An event stream is a string to OpenAPI 3.1, and an object for each event to the checker.
        is_stream = response.headers["content-type"][0].startswith("text/event-stream")
        case.validate_response(response, checks=CHECKS if is_stream else [*CHECKS, response_schema_conformance])

    ask()
    assert answered
