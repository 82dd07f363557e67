"""Answers that must be JSON of a given shape."""

from collections.abc import Sequence
from typing import Any

import msgspec

from undercroft.errors import ConfigurationError, MissingExtra
from undercroft.guards.types import Find
from undercroft.llm.schema_references import foreign_reference


class JsonShape:
    """A Check that finds the whole text where it is no JSON, or not as the schema (2020-12) has it.

    Raises MissingExtra without the package, and ConfigurationError for a schema that is none, or that refers to
    something outside itself.
    """

    longest = 0

    def __init__(self, schema: str) -> None:
        try:
            from jsonschema import Draft202012Validator
            from jsonschema.exceptions import SchemaError
        except ImportError as error:
            raise MissingExtra("A guard with check = 'schema'", extra="guards") from error
        try:
            shape: Any = msgspec.json.decode(schema)
            Draft202012Validator.check_schema(shape)
        except (msgspec.DecodeError, SchemaError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(f"A guard's schema is no JSON Schema: {reason}.") from error
        if (foreign := foreign_reference(shape)) is not None:
            raise ConfigurationError(f"A guard's schema refers to {foreign[:100]!r}, which is not in it.")
        self._validator = Draft202012Validator(shape)

    def find(self, text: str, /) -> Sequence[Find]:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return [Find(0, len(text), "not_json")]
        return () if self._validator.is_valid(value) else [Find(0, len(text), "schema")]
