"""What our collections, namespaces, fields and filters are called in Weaviate.

A collection is a multi-tenant class, a namespace a tenant. Metadata is kept whole as JSON; what filters ask is beside
it: `terms` (a list of texts, compared whole) and one number property for each field that holds numbers.
"""

import base64
import hashlib
import json
import math
import re
import uuid
from typing import Any, Final

import msgspec
from weaviate.collections.classes.filters import Filter, _Filters

from undercroft.vectors.errors import InvalidQuery
from undercroft.vectors.stores.terms import AnyOf, Compared, Every, HasTerm, Plan, numbers_of, terms_of
from undercroft.vectors.types import CollectionSpec, Metric, Point, Vector

PREFIX: Final = "Undercroft_"
IDS: Final = uuid.UUID("6f2f5f1c-8f0d-4c6e-9a51-0d8f2b8b7c11")
"""Weaviate's ids are UUIDs: ours are made from the point's id under this one."""
DISTANCES: Final[dict[Metric, str]] = {"cosine": "cosine", "dot": "dot", "euclidean": "l2-squared"}
TENANT_CHARACTERS: Final = 64
ANSWERED: Final = ["point_id", "metadata", "text"]
"""Properties that a point is made of."""


def class_of(collection: str) -> str:
    """Weaviate's names have no hyphen and begin with a capital."""
    return PREFIX + collection.replace("_", "__").replace("-", "_d")


def collection_of(class_name: str) -> str | None:
    """The collection that the class is; None where it is somebody else's."""
    if not class_name.startswith(PREFIX):
        return None
    return re.sub("__|_d", lambda mark: "_" if mark[0] == "__" else "-", class_name.removeprefix(PREFIX))


def tenant_of(namespace: str) -> str:
    """Raises InvalidQuery where the namespace is too long for a tenant's name."""
    if re.fullmatch("[A-Za-z0-9_-]{1,62}", namespace):
        return f"n-{namespace}"
    encoded = base64.b32encode(namespace.encode()).decode().rstrip("=")
    if len(encoded) + 2 > TENANT_CHARACTERS:
        raise InvalidQuery(
            "The namespace is too long for Weaviate.",
            param="namespace",
            hint="It takes 62 characters of a-z, A-Z, 0-9, - and _, or 38 bytes of anything.",
        )
    return f"x-{encoded or 'default'}"


def namespace_of(tenant: str) -> str:
    kind, _, name = tenant.partition("-")
    if kind == "n":
        return name
    return "" if name == "default" else base64.b32decode(name + "=" * (-len(name) % 8)).decode()


def uuid_of(point_id: str) -> uuid.UUID:
    return uuid.uuid5(IDS, point_id)


def number_property(field: str) -> str:
    """Weaviate takes letters, digits and _ only."""
    if re.fullmatch("[A-Za-z0-9_]+", field):
        return f"number_{field}"
    return f"hashed_{hashlib.sha256(field.encode()).hexdigest()[:32]}"


def schema_of(spec: CollectionSpec) -> dict[str, Any]:
    """The class as Weaviate's REST interface takes it; the spec itself travels in the description."""
    index: dict[str, Any] = {"distance": DISTANCES[spec.metric]}
    if spec.index.kind != "none":
        index |= {"maxConnections": spec.index.connectivity, "efConstruction": spec.index.build_effort}
        index |= {"ef": spec.effort} if spec.effort else {}
        # Newer servers compress by default, without telling and at the cost of recall.
        index |= {"skipDefaultQuantization": True}
    return {
        "class": class_of(spec.name),
        "description": msgspec.json.encode(spec).decode(),
        "multiTenancyConfig": {"enabled": True, "autoTenantCreation": True},
        "vectorConfig": {
            "default": {
                "vectorizer": {"none": {}},
                "vectorIndexType": "flat" if spec.index.kind == "none" else "hnsw",
                "vectorIndexConfig": index,
            }
        },
        "invertedIndexConfig": {"stopwords": {"preset": "none"}},
        "properties": [
            _text("point_id", is_filterable=False),
            _text("metadata", is_filterable=False),
            _text("text", is_filterable=False) | {"indexSearchable": True, "tokenization": "word"},
            _text("terms", is_filterable=True) | {"dataType": ["text[]"]},
            *(number_schema(field) for field, held in spec.fields.items() if held == "number"),
        ],
    }


def number_schema(field: str) -> dict[str, Any]:
    return {
        "name": number_property(field),
        "dataType": ["number"],
        "indexFilterable": True,
        "indexRangeFilters": True,
    }


def spec_of(description: str | None) -> CollectionSpec | None:
    """The spec that the description holds; None in a class that was not made here."""
    try:
        return msgspec.json.decode(description or "", type=CollectionSpec)
    except msgspec.DecodeError:
        return None


def properties_of(point: Point) -> dict[str, Any]:
    made: dict[str, Any] = {
        "point_id": point.id,
        "metadata": json.dumps(dict(point.metadata), ensure_ascii=False),
        "terms": terms_of(point.metadata),
    }
    if point.text is not None:
        made["text"] = point.text
    return made | {number_property(field): held for field, held in numbers_of(point.metadata).items()}


def point_of(properties: dict[str, Any], vector: "Vector[float]") -> Point:
    metadata = json.loads(properties["metadata"])
    return Point(
        id=properties["point_id"],
        vector=vector,
        metadata={name: tuple(held) if isinstance(held, list) else held for name, held in metadata.items()},
        text=properties.get("text"),
    )


def score_of(metric: Metric, distance: float) -> float:
    """`Hit.score` from Weaviate's distance, where less is nearer."""
    match metric:
        case "cosine":
            return 1 - distance
        case "dot":
            return -distance
        case "euclidean":
            return -math.sqrt(max(0.0, distance))


def filter_of(plan: Plan, numbers: frozenset[str]) -> "_Filters | bool":
    """The plan as Weaviate's filter, or what it comes to; `numbers` are the number properties that the class has."""
    match plan:
        case bool():
            return plan
        case HasTerm(terms, is_negated):
            held = Filter.by_property("terms").contains_any(list(terms))
            return Filter.not_(held) if is_negated else held
        case Compared(field, bound, number):
            if (name := number_property(field)) not in numbers:
                return False
            compared = Filter.by_property(name)
            match bound:
                case "gt":
                    return compared.greater_than(number)
                case "gte":
                    return compared.greater_or_equal(number)
                case "lt":
                    return compared.less_than(number)
                case "lte":
                    return compared.less_or_equal(number)
        case Every(parts) | AnyOf(parts):
            decided = isinstance(plan, AnyOf)
            made = [filter_of(part, numbers) for part in parts]
            if any(one is decided for one in made):
                return decided
            kept = [one for one in made if not isinstance(one, bool)]
            if len(kept) < 2:
                return kept[0] if kept else not decided
            return Filter.any_of(kept) if decided else Filter.all_of(kept)


def _text(name: str, *, is_filterable: bool) -> dict[str, Any]:
    return {
        "name": name,
        "dataType": ["text"],
        "tokenization": "field",
        "indexFilterable": is_filterable,
        "indexSearchable": False,
    }
