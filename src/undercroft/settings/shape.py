"""What settings there are and what each takes, read from the JSON Schema of `Settings`."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from undercroft.settings.locate import Place
from undercroft.settings.model import Settings

Schema = dict[str, Any]


class Shape:
    """Answers questions about places: which exist, what they take, whether they hold a secret."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def at(self, place: Place) -> Schema | None:
        """The schema of one place, or None where there is no such setting."""
        schema: Schema | None = self._schema
        for step in place:
            schema = self._inside(schema, step)
            if schema is None:
                return None
        return schema

    def names(self, place: Place) -> tuple[str, ...]:
        """The keys a table takes."""
        return tuple((self.at(place) or {}).get("properties", ()))

    def is_secret(self, place: Place) -> bool:
        return (self.at(place) or {}).get("format") == "password"

    def all_names(self) -> Iterator[Place]:
        """Every setting outside lists: the sections' keys, nested ones included."""
        pending: list[Place] = [(name,) for name in self.names(())]
        while pending:
            place = pending.pop(0)
            names = self.names(place)
            if names:
                pending.extend((*place, name) for name in names)
            else:
                yield place

    def takes(self, place: Place) -> str:
        """In words, what may be written there."""
        return _words(self.at(place) or {})

    def _inside(self, schema: Schema | None, step: str | int) -> Schema | None:
        if schema is None:
            return None
        if isinstance(step, int):
            inner = schema.get("items")
        else:
            inner = schema.get("properties", {}).get(step)
            if inner is None and isinstance(schema.get("additionalProperties"), dict):
                inner = schema["additionalProperties"]
        return self._resolved(inner) if inner is not None else None

    def _resolved(self, schema: Schema) -> Schema:
        """The schema itself, without references and without the `null` that stands for "not set"."""
        for option in schema.get("anyOf", ()):
            if option.get("type") != "null":
                schema = option
        if "$ref" in schema:
            schema = self._schema["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return schema


@cache
def settings_shape() -> Shape:
    """The shape of `Settings`, made when something is wrong, to say what would be right."""
    return Shape(Settings.model_json_schema())


def _words(schema: Schema) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(f'"{choice}"' for choice in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "examples" in schema:
        return f'text such as "{schema["examples"][0]}"'
    match schema.get("type"):
        case "integer":
            return "a whole number" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case "boolean":
            return "true or false"
        case "string":
            return _text_words(schema)
        case "array":
            items = schema.get("items", {})
            if "enum" in items:
                return "a list of " + ", ".join(f'"{choice}"' for choice in items["enum"])
            return "a list of text" if items.get("type") == "string" else "a list of tables"
        case _:
            return "a table"


def _text_words(schema: Schema) -> str:
    if "maxLength" in schema:
        return f"text of {schema.get('minLength', 0)} to {schema['maxLength']} characters"
    return "text that is not empty" if schema.get("minLength") else "text"


def _bounds(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']:g}"
    return ""
