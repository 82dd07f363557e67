import pytest

from undercroft.llm.schema_references import foreign_reference


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}}, None),
        ({"items": [{"$ref": "http://127.0.0.1/x"}]}, "http://127.0.0.1/x"),
        ({"properties": {"a": {"$dynamicRef": "file:///etc/passwd"}}}, "file:///etc/passwd"),
        ({"properties": {"$ref": {"type": "string"}}}, None),
        ("text", None),
    ],
)
def test_only_what_leaves_the_schema_is_found(schema: object, found: str | None) -> None:
    assert foreign_reference(schema) == found
