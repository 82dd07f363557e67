"""A filter as SQL over a `jsonb` column `metadata`, true for exactly the points that the evaluator says fit."""

from typing import Any, Final

import msgspec

from undercroft.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range

Condition = tuple[str, list[Any]]
"""SQL with a %s for each parameter, and the parameters."""

BOUNDS: Final = (("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<="))


def condition(where: Filter | None) -> Condition:
    """Never null: where a field is missing, its comparison is false."""
    match where:
        case None:
            return "TRUE", []
        case Eq(field, value):
            return _equal(field, value)
        case In(field, values):
            return _joined([_equal(field, value) for value in values], " OR ", empty="FALSE")
        case Range():
            return _range(where)
        case Exists(field):
            return "jsonb_exists(metadata, %s)", [field]
        case And(filters):
            return _joined([condition(one) for one in filters], " AND ", empty="TRUE")
        case Or(filters):
            return _joined([condition(one) for one in filters], " OR ", empty="FALSE")
        case Not(filter):
            sql, parameters = condition(filter)
            return f"NOT ({sql})", parameters


def _equal(field: str, value: object) -> Condition:
    # Containment is what the GIN index answers, and it tells 1 from "1" and true, but not from 1.0.
    alone = json_text({field: value})
    if not isinstance(value, str):
        return "metadata @> %s::jsonb", [alone]
    return "(metadata @> %s::jsonb OR metadata @> %s::jsonb)", [alone, json_text({field: [value]})]


def _range(bounds: Range) -> Condition:
    parts, parameters = ["jsonb_typeof(metadata -> %s) = 'number'"], [bounds.field]
    for name, sign in BOUNDS:
        if (bound := getattr(bounds, name)) is not None:
            parts.append(f"metadata -> %s {sign} %s::jsonb")  # among numbers, jsonb is ordered as they are
            parameters += [bounds.field, json_text(bound)]
    return f"coalesce({' AND '.join(parts)}, FALSE)", parameters


def _joined(parts: list[Condition], word: str, *, empty: str) -> Condition:
    if not parts:
        return empty, []
    return f"({word.join(sql for sql, _ in parts)})", [parameter for _, some in parts for parameter in some]


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()
