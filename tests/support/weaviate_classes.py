"""What the stand-in for Weaviate keeps and how it decides, after Weaviate's documentation."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from weaviate.proto.v1.v6300.v1 import base_pb2

MAXIMUM_RESULTS = 10_000
Operator = base_pb2.Filters.Operator


class Refused(Exception):
    """Not what the server takes."""


@dataclass
class Kept:
    """One object."""

    uuid: str
    properties: dict[str, Any]
    vector: list[float]


@dataclass
class Class:
    """A class with its tenants."""

    schema: dict[str, Any]
    tenants: dict[str, dict[str, Kept]] = field(default_factory=dict)
    dimension: int | None = None

    @property
    def properties(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.schema["properties"]}

    def tenant(self, name: str) -> dict[str, Kept]:
        if not name:
            raise Refused(f"class {self.schema['class']} has multi-tenancy enabled, but request was without tenant")
        if name not in self.tenants:
            raise Refused(f'tenant not found: "{name}"')
        return self.tenants[name]

    def put(self, tenant: str, one: Kept) -> None:
        if tenant not in self.tenants:
            if not self.schema["multiTenancyConfig"].get("autoTenantCreation"):
                raise Refused(f'tenant not found: "{tenant}"')
            if not re.fullmatch("[A-Za-z0-9_-]{1,64}", tenant):
                raise Refused(f"tenant name {tenant!r} is invalid")
            self.tenants[tenant] = {}
        if self.dimension is None:
            self.dimension = len(one.vector)
        if len(one.vector) != self.dimension:
            raise Refused(f"vector lengths don't match: {len(one.vector)} vs {self.dimension}")
        for name, value in one.properties.items():
            self._check(name, value)
        self.tenants[tenant][one.uuid] = one

    def _check(self, name: str, value: Any) -> None:
        if name not in self.properties:
            raise Refused(f"no such prop with name {name!r} found in class (auto schema is off)")
        kind = self.properties[name]["dataType"][0]
        fits = {"text": isinstance(value, str), "text[]": isinstance(value, list), "number": isinstance(value, float)}
        if not fits[kind]:
            raise Refused(f"invalid {kind} property {name!r}: {value!r}")

    def chosen(self, tenant: str, filters: Any) -> list[Kept]:
        """In the order of their ids, as the cursor goes."""
        held = self.tenant(tenant)
        return [held[one] for one in sorted(held) if filters is None or self._fits(filters, held[one])]

    def _fits(self, asked: Any, one: Kept) -> bool:
        if asked.operator in (Operator.OPERATOR_AND, Operator.OPERATOR_OR, Operator.OPERATOR_NOT):
            if not asked.filters or (asked.operator == Operator.OPERATOR_NOT and len(asked.filters) != 1):
                raise Refused("invalid operands of a nested filter")
            fit = [self._fits(part, one) for part in asked.filters]
            return (
                not fit[0]
                if asked.operator == Operator.OPERATOR_NOT
                else (all, any)[asked.operator == Operator.OPERATOR_OR](fit)
            )
        name = asked.target.property
        if name == "_id" and asked.operator == Operator.OPERATOR_EQUAL:
            return bool(one.uuid == asked.value_text)
        if name == "_id" and asked.operator == Operator.OPERATOR_CONTAINS_ANY:
            return one.uuid in asked.value_text_array.values
        described = self.properties.get(name)
        if described is None:
            raise Refused(f"no such prop with name {name!r} found in class")
        if not described.get("indexFilterable", True):
            raise Refused(f"Filtering by property {name!r} requires inverted index (indexFilterable)")
        return _compare(asked, described["dataType"][0], one.properties.get(name))

    def distance(self, query: list[float], one: Kept) -> float:
        if len(query) != self.dimension:
            raise Refused(f"vector lengths don't match: {len(query)} vs {self.dimension}")
        product = sum(a * b for a, b in zip(query, one.vector, strict=True))
        match self.schema["vectorConfig"]["default"]["vectorIndexConfig"]["distance"]:
            case "cosine":
                return 1 - product / (math.hypot(*query) * math.hypot(*one.vector))
            case "dot":
                return -product
            case "l2-squared":
                return math.dist(query, one.vector) ** 2
            case other:
                raise Refused(f"unknown distance {other!r}")

    def weights(self, words: str, name: str, among: list[Kept], everything: list[Kept]) -> list[tuple[float, Kept]]:
        """BM25 with Weaviate's defaults (k1 1.2, b 0.75), any of the words."""
        described = self.properties[name]
        if not described.get("indexSearchable"):
            raise Refused(f"Searching by property {name!r} requires inverted index (indexSearchable)")
        counted = {one.uuid: Counter(_words(one.properties.get(name, ""))) for one in everything}
        mean = sum(counts.total() for counts in counted.values()) / max(1, len(counted))
        scored = []
        for one in among:
            counts, total = counted[one.uuid], 0.0
            for word in set(_words(words)):
                known = sum(word in other for other in counted.values())
                rarity = math.log(1 + (len(counted) - known + 0.5) / (known + 0.5))
                length = 1 - 0.75 + 0.75 * counts.total() / (mean or 1)
                total += rarity * counts[word] * 2.2 / (counts[word] + 1.2 * length)
            if total:
                scored.append((total, one))
        return scored


def _compare(asked: Any, kind: str, held: Any) -> bool:
    if kind in ("text", "text[]"):
        if asked.operator != Operator.OPERATOR_CONTAINS_ANY or not asked.HasField("value_text_array"):
            raise Refused(f"operator {asked.operator} with that value on {kind} is not what this stand-in knows")
        wanted = {one.strip() for one in asked.value_text_array.values}
        return any(one.strip() in wanted for one in (held if isinstance(held, list) else [held]) if one is not None)
    if not asked.HasField("value_number"):
        raise Refused("data type filter cannot use another type on a number property")
    if held is None:
        return False
    bound = asked.value_number
    answers: dict[Any, bool] = {
        Operator.OPERATOR_GREATER_THAN: held > bound,
        Operator.OPERATOR_GREATER_THAN_EQUAL: held >= bound,
        Operator.OPERATOR_LESS_THAN: held < bound,
        Operator.OPERATOR_LESS_THAN_EQUAL: held <= bound,
    }
    return answers[asked.operator]


def _words(text: str) -> list[str]:
    """The tokenization `word`: what is no letter or digit parts, capitals are small."""
    return [word.lower() for word in re.split(r"[\W_]+", text) if word]
