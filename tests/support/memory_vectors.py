"""The plainest vector store: everything compared with everything, in dictionaries. What the others are measured by."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from undercroft.vectors import checks
from undercroft.vectors.errors import CollectionNotFound
from undercroft.vectors.filters import Filter, matches
from undercroft.vectors.types import (
    Abilities,
    CollectionSpec,
    Hit,
    Metric,
    Page,
    Point,
    Query,
    Stats,
    TextQuery,
    Vector,
)

Space = dict[str, Point]


class MemoryStore:
    """A VectorStore and a TextSearch, forgotten with its object."""

    name = "memory"
    abilities = Abilities(max_dimension=4096, has_text_search=True)

    def __init__(self) -> None:
        self._specs: dict[str, CollectionSpec] = {}
        self._spaces: dict[str, defaultdict[str, Space]] = {}

    async def create(self, spec: CollectionSpec) -> None:
        checks.check_spec(spec, self.abilities)
        if there := self._specs.get(spec.name):
            checks.check_same(there, spec)
            return
        self._specs[spec.name] = spec
        self._spaces[spec.name] = defaultdict(dict)

    async def drop(self, collection: str) -> bool:
        self._spaces.pop(collection, None)
        return self._specs.pop(collection, None) is not None

    async def collections(self) -> list[CollectionSpec]:
        return [self._specs[name] for name in sorted(self._specs)]

    async def describe(self, collection: str) -> CollectionSpec:
        if (spec := self._specs.get(collection)) is None:
            raise CollectionNotFound(collection)
        return spec

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        space = await self._space(collection, namespace)
        checks.check_points(self._specs[collection], points, self.abilities)
        space.update({point.id: point for point in points})

    async def get(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> list[Point]:
        space = await self._space(collection, namespace)
        return [space[one] for one in ids if one in space]

    async def delete(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> int:
        space = await self._space(collection, namespace)
        return sum(space.pop(one, None) is not None for one in ids)

    async def delete_where(self, collection: str, where: Filter | None, *, namespace: str = "") -> int:
        chosen = await self._chosen(collection, where, namespace)
        return await self.delete(collection, [point.id for point in chosen], namespace=namespace)

    async def search(self, collection: str, query: Query) -> list[Hit]:
        spec = await self.describe(collection)
        checks.check_query(spec, query)
        chosen = await self._chosen(collection, query.where, query.namespace)
        scored = [(score(spec.metric, query.vector, point.vector), point) for point in chosen]
        kept = [pair for pair in scored if query.threshold is None or pair[0] >= query.threshold]
        return _best(kept, query.limit, with_vectors=query.with_vectors)

    async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        return [await self.search(collection, query) for query in queries]

    async def search_text(self, collection: str, query: TextQuery) -> list[Hit]:
        checks.check_text_query(await self.describe(collection), query)
        chosen = [p for p in await self._chosen(collection, query.where, query.namespace) if p.text]
        words = [Counter(re.findall(r"\w+", (point.text or "").lower())) for point in chosen]
        scored = []
        for point, counts in zip(chosen, words, strict=True):
            total = 0.0
            for word in set(re.findall(r"\w+", query.text.lower())):
                known = sum(word in other for other in words)
                rarity = math.log(1 + (len(words) - known + 0.5) / (known + 0.5))
                total += rarity * counts[word] * 2.2 / (counts[word] + 1.2)
            if total:
                scored.append((total, point))
        return _best(scored, query.limit, with_vectors=query.with_vectors)

    async def count(self, collection: str, where: Filter | None = None, *, namespace: str = "") -> int:
        return len(await self._chosen(collection, where, namespace))

    async def scroll(
        self,
        collection: str,
        *,
        where: Filter | None = None,
        namespace: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> Page:
        checks.check_limit(limit)
        chosen = sorted(await self._chosen(collection, where, namespace), key=lambda point: point.id)
        rest = [point for point in chosen if after is None or point.id > after]
        return Page(points=rest[:limit], next=rest[limit - 1].id if len(rest) > limit else None)

    async def stats(self, collection: str) -> Stats:
        await self.describe(collection)
        return Stats(namespaces={name: len(space) for name, space in self._spaces[collection].items() if space})

    async def close(self) -> None:
        self._specs.clear()

    async def _space(self, collection: str, namespace: str) -> Space:
        await self.describe(collection)
        checks.check_namespace(namespace)
        return self._spaces[collection][namespace]

    async def _chosen(self, collection: str, where: Filter | None, namespace: str) -> list[Point]:
        space = await self._space(collection, namespace)
        checks.check_filter(self._specs[collection], where)
        return [point for point in space.values() if matches(where, point.metadata)]


def score(metric: Metric, query: "Vector[float]", vector: "Vector[float]") -> float:
    """How near they are, as `Hit.score` has it."""
    if metric == "euclidean":
        return -math.dist(query, vector)
    product = sum(map(float.__mul__, query, vector))
    return product if metric == "dot" else product / (math.hypot(*query) * math.hypot(*vector))


def _best(scored: Sequence[tuple[float, Point]], limit: int, *, with_vectors: bool) -> list[Hit]:
    best = sorted(scored, key=lambda pair: -pair[0])[:limit]
    return [
        Hit(
            id=point.id,
            score=score,
            metadata=point.metadata,
            text=point.text,
            vector=point.vector if with_vectors else None,
        )
        for score, point in best
    ]
