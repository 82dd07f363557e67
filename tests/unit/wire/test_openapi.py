from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from undercroft.wire.generate import GenerateAnswer
from undercroft.wire.openai.answers import ChatCompletion, Completion, EmbeddingList
from undercroft.wire.openai.chat.request import ChatBody
from undercroft.wire.openai.completions import CompletionBody
from undercroft.wire.openai.embeddings import EmbeddingsBody
from undercroft.wire.openai.moderations import ModerationAnswer, ModerationsBody
from undercroft.wire.openapi import OPERATIONS, document

DOCUMENT = document(version="1.2.3")
SCHEMAS = DOCUMENT["components"]["schemas"]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_document_is_json_and_says_its_version() -> None:
    assert msgspec.json.decode(msgspec.json.encode(DOCUMENT)) == DOCUMENT
    assert (DOCUMENT["openapi"], DOCUMENT["info"]["version"]) == ("3.1.0", "1.2.3")


def test_every_reference_leads_somewhere() -> None:
    assert {reference.rpartition("/")[2] for reference in references(DOCUMENT)} <= set(SCHEMAS)


def test_every_route_is_there_with_an_id_of_its_own() -> None:
    operations = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(operations) == len(OPERATIONS)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] for operation in operations)
    assert all(any(status[0] == "2" for status in operation["responses"]) for operation in operations)


@pytest.mark.parametrize(
    ("read", "described"),
    [
        (ChatBody, "ChatCompletionRequest"),
        (CompletionBody, "CompletionRequest"),
        (EmbeddingsBody, "EmbeddingsRequest"),
        (ModerationsBody, "ModerationsRequest"),
    ],
)
def test_every_field_that_is_read_is_described(read: type[msgspec.Struct], described: str) -> None:
    assert set(read.__struct_fields__) <= set(SCHEMAS[described]["properties"])


@pytest.mark.parametrize(
    ("answer", "required"),
    [
        (ChatCompletion, {"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}),
        (Completion, {"id", "object", "created", "model", "choices", "system_fingerprint"}),
        (EmbeddingList, {"object", "data", "model", "usage"}),
        (ModerationAnswer, {"id", "model", "results"}),
        (GenerateAnswer, {"result", "model", "usage", "cost"}),
    ],
)
def test_what_an_answer_always_has_is_required(answer: type, required: set[str]) -> None:
    assert set(SCHEMAS[answer.__name__]["required"]) == required


def test_the_tag_of_a_union_is_required() -> None:
    assert SCHEMAS["FunctionToolCall"]["required"] == ["function", "id", "type"]


def test_routes_that_want_no_key_say_so() -> None:
    open_paths = {path for path, item in DOCUMENT["paths"].items() for op in item.values() if op.get("security") == []}
    assert open_paths == {"/health", "/health/live", "/health/ready"}
