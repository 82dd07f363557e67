"""No call of a model goes unbooked, whichever route it takes, and the same prompt is the same everywhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.test_doors import every_route
from tests.support.server import SCRIPTED, Server, serving, until

HI: Final = [{"role": "user", "content": "Hi there"}]
BODIES: Final[dict[str, dict[str, Any]]] = {
    "/api/generate": {"prompt": "Hi there"},
    "/v1/chat/completions": {"messages": HI},
    "/v1/completions": {"prompt": "Hi there"},
    "/v1/embeddings": {"input": "Hi there"},
    "/v1/messages": {"messages": HI, "max_tokens": 50},
    "/v1/moderations": {"input": "Hi there"},
    "/v1/responses": {"input": "Hi there"},
}
"""A call of each route that asks a model."""
TEXT: Final = sorted(BODIES.keys() - {"/v1/embeddings", "/v1/moderations"})
"""Those that answer a prompt with a text."""
ASKS_LATER: Final = frozenset(
    {
        "/api/v1/jobs", "/api/v1/jobs/{job_id}/retry", "/v1/batches", "/v1/files", "/v1/vector_stores",
        "/v1/vector_stores/{vector_store_id}/files", "/v1/vector_stores/{vector_store_id}/file_batches",
        "/v1/vector_stores/{vector_store_id}/files/{file_id}", "/v1/vector_stores/{vector_store_id}",
        "/v1/vector_stores/{vector_store_id}/search",
    }
)  # fmt: skip
"""What they lead to are calls of the gateway, which are booked as such."""
ASKS_NOBODY: Final = frozenset(
    {
        "/api/v1/feedback", "/api/v1/jobs/{job_id}/cancel", "/v1/batches/{batch_id}/cancel",
        "/v1/chat/completions/{completion_id}", "/v1/messages/count_tokens", "/v1/responses/input_tokens",
        "/v1/responses/{response_id}/cancel", "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
    }
)  # fmt: skip
"""They count, keep or end something, and no model says a word."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("metered"), toml=SCRIPTED) as running:
        yield running


def booked(server: Server, request: str) -> Any:
    """The row of a call."""
    until(lambda: any(row.id == request for row in server.rows()))
    (row,) = [row for row in server.rows() if row.id == request]
    return row


def test_every_route_that_takes_something_is_known_to_this_test(tmp_path: Path) -> None:
    taking = {route.path for route in every_route(tmp_path) if route.method == "POST" and route.permission == "ai"}
    assert taking == BODIES.keys() | ASKS_LATER | ASKS_NOBODY


def test_every_route_that_asks_a_model_says_so(tmp_path: Path) -> None:
    metered = {route.path for route in every_route(tmp_path) if route.metered}
    assert metered == {*BODIES, "/v1/vector_stores/{vector_store_id}/search"}


@pytest.mark.parametrize("path", BODIES)
def test_a_call_is_booked_under_its_route_and_so_is_one_that_is_refused(server: Server, path: str) -> None:
    model = "omni-moderation-latest" if path == "/v1/moderations" else "chat"
    answer = server.ask(path, json={"model": model, **BODIES[path]})
    row = booked(server, answer.request_id)
    assert (row.endpoint, row.status) == (path, answer.status)
    refused = server.ask(path, json={"model": model, "input": 3, "prompt": 3, "messages": 3})
    assert refused.status == 400
    row = booked(server, refused.request_id)
    assert (row.endpoint, row.status, row.cost_nano) == (path, 400, 0)


def test_a_prompt_is_the_same_tokens_and_the_same_money_on_every_route(server: Server) -> None:
    seen = {}
    for path in TEXT:
        for stream in (False, True):
            answer = server.ask(path, json={"model": "chat", "stream": stream, **BODIES[path]})
            assert answer.status == 200, (path, answer.body)
            row = booked(server, answer.request_id)
            seen[path, stream] = (row.input_tokens, row.output_tokens, row.cost_nano)
    assert set(seen.values()) == {(2, 5, 12_000)}, seen
