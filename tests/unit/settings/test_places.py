"""What is wanted where is told alike by the types and by the JSON Schema."""

from collections.abc import Iterator
from typing import Any

from undercroft.settings.locate import Place
from undercroft.settings.places import is_secret, kind_at
from undercroft.settings.shape import settings_shape


def places(place: Place = ()) -> Iterator[Place]:
    """Every setting, those in lists and under names of the user's choice included."""
    schema: dict[str, Any] = settings_shape().at(place) or {}
    inner: list[str | int] = [*schema.get("properties", ())]
    if schema.get("type") == "array":
        inner.append(0)
    if isinstance(schema.get("additionalProperties"), dict):
        inner.append("any")
    if not inner:
        yield place
    for step in inner:
        yield from places((*place, step))


def test_types_and_schema_agree_on_every_place() -> None:
    shape = settings_shape()
    told = {place: is_secret(place) for place in places()}
    assert told == {place: shape.is_secret(place) for place in told}
    assert sum(told.values()) > 10
    assert told["models", 0, "deployments", 0, "api_key"]
    assert told["models", 0, "deployments", 0, "headers", "any"]


def tables(place: Place) -> Iterator[Place]:
    """What stands around a setting."""
    yield from (place[:length] for length in range(1, len(place)))


def test_they_agree_on_its_kind_as_well() -> None:
    shape = settings_shape()
    everywhere = {each for place in places() for each in (place, *tables(place))}
    told = {place: kind_at(place) for place in everywhere}
    assert told == {place: (shape.at(place) or {}).get("type") for place in everywhere}
    assert set(told.values()) == {"boolean", "integer", "number", "string", "array", "object"}


def test_what_is_no_setting_has_no_kind() -> None:
    assert kind_at(("server", "nothing")) is None
    assert kind_at(("server", "port", "deeper")) is None
    assert kind_at(("models", "x", "name")) is None


def test_what_is_no_setting_wants_no_secret() -> None:
    assert not is_secret(("server", "nothing"))
    assert not is_secret(("access", "master_key", "deeper"))
    assert not is_secret(("models", "x", "name"))
