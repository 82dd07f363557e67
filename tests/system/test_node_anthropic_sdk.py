"""Anthropic's official SDK for Node against a served undercroft."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.node import folder_with, what_it_saw

pytestmark = pytest.mark.system

SDK = "@anthropic-ai/sdk@1.13.0"
SETTINGS = """
[[models]]
name = "parrot"
[[models.deployments]]
provider = "scripted"
script = "Polly wants a cracker."

[[models]]
name = "broken"
[[models.deployments]]
provider = "anthropic"
base_url = "http://127.0.0.1:1/v1"
api_key = "sk-ant-none"
"""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK in it."""
    return folder_with(SDK, "anthropic_sdk.mjs", tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def seen(sdk: Path) -> dict[str, Any]:
    """What the SDK saw."""
    return what_it_saw("anthropic_sdk.mjs", sdk, toml=SETTINGS)


def test_an_answer_arrives_whole(seen: dict[str, Any]) -> None:
    whole = seen["whole"]

    assert (whole["text"], whole["reason"]) == ("Polly wants a cracker.", "end_turn")
    assert whole["usage"]["input_tokens"] > 0
    assert whole["usage"]["output_tokens"] > 0
    assert whole["request_id"].startswith("req_")


def test_a_stream_adds_up_to_the_same_answer(seen: dict[str, Any]) -> None:
    stream = seen["stream"]

    assert stream["text"] == stream["final"] == seen["whole"]["text"]
    assert stream["pieces"] > 1
    assert stream["reason"] == "end_turn"
    assert stream["usage"]["input_tokens"] == seen["whole"]["usage"]["input_tokens"]
    assert stream["usage"]["output_tokens"] == seen["whole"]["usage"]["output_tokens"]


def test_the_events_come_in_the_formats_order(seen: dict[str, Any]) -> None:
    events = seen["events"]

    assert [event for event in events if event != "content_block_delta"] == [
        "message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("attempt", "name", "status", "type"),
    [
        ("unknownModel", "NotFoundError", 404, "not_found_error"),
        ("badBody", "BadRequestError", 400, "invalid_request_error"),
        ("wrongKey", "AuthenticationError", 401, "authentication_error"),
        ("unreachable", "InternalServerError", 502, "api_error"),
    ],
)
def test_an_error_is_the_sdks_own_class(seen: dict[str, Any], attempt: str, name: str, status: int, type: str) -> None:
    error = seen[attempt]

    assert (error["name"], error["status"], error["type"]) == (name, status, type)
    assert error["requestID"].startswith("req_")


def test_the_models_are_listed_page_by_page(seen: dict[str, Any]) -> None:
    assert seen["models"][:2] == ["parrot", "broken"]


def test_tokens_are_counted(seen: dict[str, Any]) -> None:
    assert seen["count"] > 0
