"""The official OpenAI SDK for Node against a served undercroft."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.background import upstream_in_background
from tests.support.node import folder_with, what_it_saw
from tests.support.upstream import Upstream, error_response

pytestmark = pytest.mark.system

SDK = "openai@6.49.0"
SETTINGS = """
[[models]]
name = "parrot"
[[models.deployments]]
provider = "scripted"
script = "Polly wants a cracker."
[[models]]
name = "fake"
[[models.deployments]]
provider = "openai_compatible"
base_url = "{base_url}"
[[models]]
name = "refuses"
[[models.deployments]]
provider = "openai_compatible"
base_url = "{base_url}"
"""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK in it."""
    return folder_with(SDK, "openai_sdk.mjs", tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """A provider that can do what a script cannot."""
    with upstream_in_background() as running:
        running.answers = {"refuses": lambda _: [error_response("422 Unprocessable Entity", "not that")]}
        yield running


@pytest.fixture(scope="module")
def seen(sdk: Path, upstream: Upstream) -> dict[str, Any]:
    """What the SDK saw."""
    return what_it_saw("openai_sdk.mjs", sdk, toml=SETTINGS.format(base_url=upstream.base_url), path="/v1")


def test_a_chat_answer_arrives_whole(seen: dict[str, Any]) -> None:
    chat = seen["chat"]

    assert chat["text"] == "Polly wants a cracker."
    assert chat["finish"] == "stop"
    assert chat["usage"]["total_tokens"] == chat["usage"]["prompt_tokens"] + chat["usage"]["completion_tokens"] > 0
    assert chat["request_id"]


def test_a_stream_adds_up_to_the_same_answer(seen: dict[str, Any]) -> None:
    assert seen["stream"]["text"] == seen["chat"]["text"]
    assert seen["stream"]["finish"] == ["stop"]
    assert seen["stream"]["usage"] == seen["chat"]["usage"]


def test_responses_whole_streamed_and_in_the_background(seen: dict[str, Any]) -> None:
    responses, said = seen["responses"], "Polly wants a cracker."

    assert responses["text"] == responses["streamed"] == responses["helper"] == said
    assert (responses["types"][0], responses["types"][-1]) == ("response.created", "response.completed")
    assert responses["numbers"] == list(range(len(responses["numbers"])))
    assert responses["items"] == ["Hello?", said, "Hello?"]
    assert responses["accepted"] == "queued"
    assert responses["background"] == {"id": True, "status": "completed", "text": said}
    assert responses["followed"] == "response.completed"
    assert (responses["deleted"]["name"], responses["deleted"]["status"]) == ("NotFoundError", 404)
    assert (responses["refused"]["name"], responses["refused"]["code"]) == (
        "BadRequestError", "previous_response_not_found",
    )  # fmt: skip
    assert responses["request_id"]


def test_embeddings_arrive_in_the_sdks_own_base64(seen: dict[str, Any]) -> None:
    if seen["embeddings"] is None:
        pytest.skip("not run: the bundled embedding model is not installed")

    assert seen["embeddings"]["size"] == 384
    assert seen["embeddings"]["difference"] < 1e-6
    assert seen["embeddings"]["near"] > seen["embeddings"]["far"] + 0.2


@pytest.mark.parametrize(
    ("attempt", "name", "status", "code"),
    [
        ("unknownModel", "NotFoundError", 404, "model_not_found"),
        ("badBody", "BadRequestError", 400, None),
        ("deleteModel", "PermissionDeniedError", 403, "permission_denied"),
        ("noRoute", "NotFoundError", 404, None),
        ("wrongKey", "AuthenticationError", 401, "invalid_api_key"),
    ],
)
def test_an_error_is_the_sdks_own_class(
    seen: dict[str, Any], attempt: str, name: str, status: int, code: str | None
) -> None:
    error = seen[attempt]

    assert (error["name"], error["status"]) == (name, status)
    assert error["type"]
    assert error["requestID"]
    assert code is None or error["code"] == code


def test_the_models_are_listed(seen: dict[str, Any]) -> None:
    assert "parrot" in seen["models"]


def test_tool_calls_arrive_whole_and_put_together(seen: dict[str, Any]) -> None:
    for answer in seen["tools"]:
        assert answer == {"finish": "tool_calls", "calls": [["call_1", "weather", '{"city": "Paris"}']]}


def test_an_answer_follows_its_schema(seen: dict[str, Any]) -> None:
    assert seen["structured"] == {"city": "Paris"}


def test_base64_is_made_for_a_provider_that_only_sends_numbers(seen: dict[str, Any]) -> None:
    assert seen["vectors"] == [[2, 2, 0, 0], [2, 0, 0, 2]]


def test_moderations_come_from_rules_and_from_a_provider(seen: dict[str, Any]) -> None:
    told = seen["moderations"]

    assert told["model"] == "undercroft-rules"
    assert told["flagged"] == [[False, True], [True], [False]]
    assert told["threatening"]
    assert told["score"] == 0.85
    assert told["applied"] == ["text", "image"]
    assert (told["image"]["name"], told["image"]["code"]) == ("BadRequestError", "unsupported_parameter")


def test_a_stored_answer_is_found_and_deleted(seen: dict[str, Any]) -> None:
    assert seen["stored"] == {"found": True, "said": ["Hello?"], "deleted": True}


def test_a_file_goes_round(seen: dict[str, Any]) -> None:
    files = seen["files"]

    assert files["found"] == ["two.txt", 3, "user_data", "file"]
    assert files["content"] == "a\nb"
    assert (files["listed"], files["deleted"]) == (True, True)
    assert files["request_id"]
    assert (files["gone"]["name"], files["gone"]["status"]) == ("NotFoundError", 404)
    assert files["empty"]["name"] == "BadRequestError"


def test_a_batch_is_answered_line_by_line_and_what_is_wrong_is_told(seen: dict[str, Any]) -> None:
    batches = seen["batches"]

    assert (batches["status"], batches["counts"]) == ("completed", {"total": 21, "completed": 20, "failed": 1})
    answered = dict(batches["answered"])
    assert answered == {f"line-{number}": "Polly wants a cracker." for number in range(20)}
    assert batches["refused"] == [["odd", 422]]
    assert batches["usage"]
    assert batches["wrong"] == ["failed", [2, 3]]
    assert batches["cancelled"] == ["cancelled", True]
    assert batches["listed"]
    assert (batches["late"]["name"], batches["late"]["code"]) == ("ConflictError", "batch_not_cancellable")
    assert (batches["noFile"]["name"], batches["unknown"]["name"]) == ("BadRequestError", "NotFoundError")
