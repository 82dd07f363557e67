"""A filter in Qdrant's JSON, true for exactly the points that the evaluator says fit."""

from typing import Any, Final

from undercroft.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range

Json = dict[str, Any]

NOTHING: Final[Json] = {"must": [{"has_id": []}]}


def condition(where: Filter | None, *, namespace: str) -> Json:
    """The points of a namespace that fit."""
    inside = [] if where is None else [_condition(where)]
    return {"must": [{"key": "namespace", "match": {"value": namespace}}, *inside]}


def _condition(where: Filter) -> Json:
    match where:
        case Eq(field, value):
            return _equal(field, value)
        case In(field, values):
            return {"should": [_equal(field, value) for value in values]} if values else NOTHING
        case Range():
            bounds = {name: getattr(where, name) for name in ("gt", "gte", "lt", "lte")}
            return {"key": key(where.field), "range": {name: one for name, one in bounds.items() if one is not None}}
        case Exists(field):
            return {"must_not": [{"is_empty": {"key": key(field)}}]}
        case And(filters):
            return {"must": [_condition(one) for one in filters]}
        case Or(filters):
            return {"should": [_condition(one) for one in filters]} if filters else NOTHING
        case Not(filter):
            return {"must_not": [_condition(filter)]}


def _equal(field: str, value: str | float | bool) -> Json:
    if isinstance(value, str | bool):
        return {"key": key(field), "match": {"value": value}}
    return {"key": key(field), "range": {"gte": value, "lte": value}}  # `match` tells 1 from 1.0


def key(field: str) -> str:
    """Where a metadata field lies in the payload: quoted, since dots and brackets would lead further in."""
    return f'metadata."{field}"'
