"""What may go into a store and what may be asked of it: the same for all, decided before anything is written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from undercroft.vectors.errors import (
    CollectionConflict,
    DimensionMismatch,
    InvalidCollection,
    InvalidFilter,
    InvalidPoint,
    InvalidQuery,
)
from undercroft.vectors.filters import Filter, field_fault, is_number, leaves, scalar_fault, text_fault
from undercroft.vectors.types import Abilities, CollectionSpec, FieldType, Point, Query, TextQuery, Vector

LIMIT: Final = 10_000
"""Most hits of one search, and points of one page."""
BATCH: Final = 10_000
"""Most points of one upsert."""
NAME_CHARACTERS: Final = 64
ID_CHARACTERS: Final = 256
LISTED: Final = 1000
"""Most texts of one list in the metadata."""


def check_spec(spec: CollectionSpec, abilities: Abilities) -> None:
    """Raises InvalidCollection."""
    name = spec.name
    if not (1 <= len(name) <= NAME_CHARACTERS and name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
        raise InvalidCollection(
            f"{name[:80]!r} cannot be a collection's name.",
            param="name",
            hint=f"It takes 1 to {NAME_CHARACTERS} of a-z, A-Z, 0-9, - and _.",
        )
    if not 1 <= spec.dimension <= abilities.max_dimension:
        raise InvalidCollection(
            f"A dimension of {spec.dimension} is out of range.",
            param="dimension",
            hint=f"This store takes 1 to {abilities.max_dimension}.",
        )
    if spec.metric not in abilities.metrics:
        raise InvalidCollection(f"This store has no metric {spec.metric!r}.", param="metric")
    for field in spec.fields:
        if fault := field_fault(field):
            raise InvalidCollection(f"fields.{field[:80]} {fault}", param="fields")


def check_same(there: CollectionSpec, spec: CollectionSpec) -> None:
    """Raises CollectionConflict when `spec` asks for something else than what is there."""
    for name in ("dimension", "metric", "fields"):
        if (had := getattr(there, name)) != getattr(spec, name):
            raise CollectionConflict(spec.name, f"{name} {had!r}")


def check_namespace(namespace: str) -> None:
    """Raises InvalidQuery."""
    if namespace and not (len(namespace) <= NAME_CHARACTERS and namespace.isprintable()):
        raise InvalidQuery(
            f"{namespace[:80]!r} cannot be a namespace.",
            param="namespace",
            hint=f"It takes up to {NAME_CHARACTERS} characters that can be printed; the default one is empty.",
        )


def check_points(spec: CollectionSpec, points: Sequence[Point], abilities: Abilities) -> None:
    """Raises InvalidPoint or DimensionMismatch for the first that cannot be stored."""
    if len(points) > BATCH:
        raise InvalidPoint(BATCH, f"a batch takes at most {BATCH} points; this one has {len(points)}.")
    seen: dict[str, int] = {}
    for position, point in enumerate(points):
        if fault := id_fault(point.id):
            raise InvalidPoint(position, f"its id {fault}", field="id")
        former = seen.setdefault(point.id, position)
        if former != position:
            raise InvalidPoint(position, f"its id is the same as that of points[{former}].", field="id")
        if len(point.vector) != spec.dimension:
            raise DimensionMismatch(position, got=len(point.vector), wanted=spec.dimension)
        if fault := vector_fault(point.vector, spec):
            raise InvalidPoint(position, fault, field="vector")
        if point.text is not None:
            _check_text(position, point.text, abilities)
        if point.metadata:
            _check_metadata(position, point.metadata, spec.fields, abilities)


def check_query(spec: CollectionSpec, query: Query) -> None:
    """Raises DimensionMismatch, InvalidQuery and InvalidFilter."""
    if len(query.vector) != spec.dimension:
        raise DimensionMismatch(-1, got=len(query.vector), wanted=spec.dimension)
    if fault := vector_fault(query.vector, spec):
        raise InvalidQuery(f"The query: {fault}", param="vector")
    if query.threshold is not None and not math.isfinite(query.threshold):
        raise InvalidQuery("The threshold is not a finite number.", param="threshold")
    if query.effort is not None and not 1 <= query.effort <= LIMIT:
        raise InvalidQuery(f"The effort is {query.effort}; it takes 1 to {LIMIT}.", param="effort")
    check_namespace(query.namespace)
    check_limit(query.limit)
    check_filter(spec, query.where)


def check_text_query(spec: CollectionSpec, query: TextQuery) -> None:
    """Raises InvalidQuery and InvalidFilter."""
    if not query.text.strip():
        raise InvalidQuery("There are no words to look for.", param="text")
    check_namespace(query.namespace)
    check_limit(query.limit)
    check_filter(spec, query.where)


def check_limit(limit: int) -> None:
    """Raises InvalidQuery."""
    if not 1 <= limit <= LIMIT:
        raise InvalidQuery(f"The limit is {limit}; it takes 1 to {LIMIT}.", param="limit")


def check_filter(spec: CollectionSpec, where: Filter | None) -> None:
    """Raises InvalidFilter for a field that the collection does not have, where its fields are declared."""
    if where is None or not spec.fields:
        return
    for leaf in leaves(where):
        if leaf.field not in spec.fields:
            raise InvalidFilter(
                f"The collection {spec.name!r} has no field {leaf.field!r}.",
                param="filter",
                hint=f"It has: {', '.join(sorted(spec.fields))}.",
            )


def id_fault(id: object) -> str | None:
    """Why this cannot be a point's id."""
    if not isinstance(id, str):
        return "is no text."
    if not 1 <= len(id) <= ID_CHARACTERS:
        return f"has {len(id)} characters; an id has 1 to {ID_CHARACTERS}."
    return None if id.isprintable() else "holds characters that cannot be printed."


def vector_fault(vector: "Vector[float]", spec: CollectionSpec) -> str | None:
    """Why this cannot be compared."""
    # The sum of finite 4-byte floats is finite in 8 bytes, so one look at it finds NaN and infinity.
    if not math.isfinite(sum(vector)):
        place = next(place for place, number in enumerate(vector) if not math.isfinite(number))
        return f"number {place} of the vector is {vector[place]}."
    if spec.metric == "cosine" and not any(vector):
        return "the vector is all zeros, which has no direction."
    return None


def _check_text(position: int, text: str, abilities: Abilities) -> None:
    if not text.strip():
        raise InvalidPoint(position, "its text is empty.", field="text")
    if fault := text_fault(text):
        raise InvalidPoint(position, f"its text {fault}", field="text")
    if len(text) * 4 > abilities.text_bytes and (size := len(text.encode())) > abilities.text_bytes:
        raise InvalidPoint(
            position, f"its text has {size} bytes; this store takes {abilities.text_bytes}.", field="text"
        )


def _check_metadata(
    position: int, metadata: Mapping[str, Any], fields: Mapping[str, FieldType], abilities: Abilities
) -> None:
    for name, value in metadata.items():
        if fault := field_fault(name) or _value_fault(value):
            at = f"metadata.{name[:80]}"
            raise InvalidPoint(position, f"{at} {fault}", field=at)
        if fields and (fault := _type_fault(name, value, fields)):
            raise InvalidPoint(position, f"metadata.{name} {fault}", field=f"metadata.{name}")
    if (size := len(msgspec.json.encode(metadata))) > abilities.metadata_bytes:
        raise InvalidPoint(
            position, f"its metadata has {size} bytes; this store takes {abilities.metadata_bytes}.", field="metadata"
        )


def _value_fault(value: object) -> str | None:
    if not isinstance(value, list | tuple):
        return scalar_fault(value)
    if not value:
        return "is an empty list; leave the field out instead."
    if len(value) > LISTED:
        return f"lists {len(value)} texts; at most {LISTED} are kept."
    for one in value:
        if not isinstance(one, str):
            return "lists something that is no text."
        if fault := text_fault(one):
            return fault
    return None


def _type_fault(name: str, value: object, fields: Mapping[str, FieldType]) -> str | None:
    declared = fields.get(name)
    if declared is None:
        return f"is not among the collection's fields: {', '.join(sorted(fields))}."
    held: FieldType
    match value:
        case bool():
            held = "boolean"
        case str():
            held = "text"
        case list() | tuple():
            held = "texts"
        case _:
            held = "number" if is_number(value) else "text"
    return None if held == declared else f"is a {held}; the collection takes a {declared}."
