"""How points, namespaces, ids and filters are written down in Pinecone.

Metadata is kept whole as JSON; beside it stands what filters ask: `_terms` (a list of texts that is never empty, so
that "none of these" has one meaning) and a number for each field that holds one.
"""

import base64
import hashlib
import json
import math
import re
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from undercroft.vectors.errors import InvalidPoint
from undercroft.vectors.stores.terms import AnyOf, Compared, Every, HasTerm, Plan, numbers_of, terms_of
from undercroft.vectors.types import Metric, Point

METRICS: Final[Mapping[Metric, str]] = {"cosine": "cosine", "dot": "dotproduct", "euclidean": "euclidean"}
RECORD_BYTES: Final = 40_960
"""Most that Pinecone keeps beside one vector."""
ID_CHARACTERS: Final = 512
ALWAYS: Final = "*"
"""A term that every point has."""
SPEC_SPACE: Final = "undercroft.spec"
"""The namespace where a collection's spec is kept."""
DEFAULT_SPACE: Final = "__default__"
ASCII: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def space_of(namespace: str) -> str:
    """Pinecone's name for the namespace."""
    if not namespace:
        return DEFAULT_SPACE
    if re.fullmatch("[A-Za-z0-9_-][A-Za-z0-9_.-]*", namespace) and not namespace.startswith(("__", "x.", SPEC_SPACE)):
        return namespace
    return "x." + base64.b32encode(namespace.encode()).decode().rstrip("=")


def namespace_of(space: str) -> str:
    if space in ("", DEFAULT_SPACE):
        return ""
    if not space.startswith("x."):
        return space
    name = space.removeprefix("x.")
    return base64.b32decode(name + "=" * (-len(name) % 8)).decode()


def key_of(point_id: str) -> str:
    """Pinecone's ids are ASCII of 512 characters at most."""
    key = quote(point_id, safe=ASCII)
    return key if len(key) <= ID_CHARACTERS else f"%sha256:{hashlib.sha256(point_id.encode()).hexdigest()}"


def records_of(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The points as Pinecone takes them. Raises InvalidPoint for one that is larger than Pinecone keeps."""
    records = []
    for position, point in enumerate(points):
        kept: dict[str, Any] = {
            "_metadata": json.dumps(dict(point.metadata), ensure_ascii=False),
            "_terms": [ALWAYS, *terms_of(point.metadata)],
        }
        kept |= {_number(field): held for field, held in numbers_of(point.metadata).items()}
        if point.text is not None:
            kept["_text"] = point.text
        if (key := key_of(point.id)).startswith("%sha256:"):
            kept["_id"] = point.id
        if (size := len(json.dumps(kept, ensure_ascii=False).encode())) > RECORD_BYTES:
            raise InvalidPoint(
                position,
                f"its text and metadata take {size} bytes in Pinecone, which keeps {RECORD_BYTES}.",
                field="metadata",
            )
        records.append({"id": key, "values": list(point.vector), "metadata": kept})
    return records


def point_of(key: str, values: Sequence[float], kept: Mapping[str, Any]) -> Point:
    metadata = json.loads(kept["_metadata"])
    return Point(
        id=kept.get("_id") or unquote(key),
        vector=array("f", values),
        metadata={name: tuple(held) if isinstance(held, list) else held for name, held in metadata.items()},
        text=kept.get("_text"),
    )


def score_of(metric: Metric, told: float) -> float:
    """`Hit.score`; for `euclidean`, Pinecone tells the square of the distance."""
    return -math.sqrt(max(0.0, told)) if metric == "euclidean" else told


def filter_of(plan: Plan) -> dict[str, Any]:
    """The plan, which is no bool, in Pinecone's words."""
    match plan:
        case HasTerm(terms, is_negated):
            return {"_terms": {"$nin" if is_negated else "$in": list(terms)}}
        case Compared(field, bound, number):
            return {_number(field): {f"${bound}": number}}
        case Every(parts):
            return {"$and": [filter_of(part) for part in parts]}
        case AnyOf(parts):
            return {"$or": [filter_of(part) for part in parts]}
        case bool():
            raise ValueError(f"{plan} is decided: there is nothing to ask")


def _number(field: str) -> str:
    return f"_number_{field}"
