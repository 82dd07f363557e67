"""What reaches the runtime's grammar, and what is refused before it could do harm."""

from typing import Any

import pytest

from undercroft.errors import InvalidRequest
from undercroft.providers.local.schemas import MOST_LEVELS, MOST_NODES, usable


def _text(**more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string", **more}}, "required": ["a"]}


def test_an_ordinary_schema_passes_unchanged() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 5},
            "next": {"$ref": "#/$defs/node"},
        },
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    }
    assert usable(schema, strict=True, param="response_format") == schema


@pytest.mark.parametrize("pattern", ["abc", r"^\d{4}$", "^(?!x)a$", "^((((", "^(((a{1000}){1000}){1000})$", "^a|b$"])
def test_a_pattern_the_runtime_does_not_know_is_refused_when_strict_and_left_out_otherwise(pattern: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot hold to the pattern") as caught:
        usable(_text(pattern=pattern), strict=True, param="response_format")
    assert caught.value.param == "response_format"
    assert usable(_text(pattern=pattern), strict=False, param="response_format") == _text()


def test_a_limit_beyond_any_answer_is_no_limit() -> None:
    assert usable(_text(maxLength=10**9), strict=True, param="p") == _text()


def test_a_minimum_beyond_any_answer_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="minLength"):
        usable(_text(minLength=10**6), strict=False, param="p")


def test_depth_and_size_are_bounded() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(MOST_LEVELS):
        deep = {"type": "array", "items": deep}
    usable(deep["items"], strict=False, param="p")
    with pytest.raises(InvalidRequest, match="levels"):
        usable({"type": "array", "items": deep}, strict=False, param="p")
    with pytest.raises(InvalidRequest, match="parts"):
        usable({"enum": [f"v{number}" for number in range(MOST_NODES + 1)]}, strict=False, param="p")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1/schema"},
        {"$ref": 7},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"\$ref"):
        usable(schema, strict=False, param="p")
