"""What every vector store speaks of: collections, points, queries and hits."""

from array import array
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from undercroft.vectors.filters import Filter

Vector = array  # of float32 ("f"): compact, and read by numpy without a copy
"""Numbers of one point or query, as 4-byte floats."""

Scalar = str | int | float | bool
Value = Scalar | tuple[str, ...]
"""What a metadata field may hold. A field that is not there is left out, never null."""
Metadata = Mapping[str, Value]

Metric = Literal["cosine", "dot", "euclidean"]
FieldType = Literal["text", "number", "boolean", "texts"]
"""What a declared metadata field holds; `texts` is a list of texts."""


def vector_of(numbers: Iterable[float]) -> "Vector[float]":
    """The numbers as a vector. Those too large for four bytes become infinite, which no store takes."""
    return array("f", numbers)


class IndexOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the approximate index is built. A store passes over what it has no use for."""

    kind: Literal["hnsw", "ivfflat", "none"] = "hnsw"
    """`none` searches exactly; `ivfflat` is pgvector's, others take it for `hnsw`."""
    connectivity: int = 16
    """HNSW: neighbours of a node (M)."""
    build_effort: int = 128
    """HNSW: candidates looked at when a node is added (ef_construction)."""
    lists: int | None = None
    """IVFFlat: how many; default: rows / 1000."""
    is_half: bool = True
    """Whether the index keeps two bytes a number. What a store answers with is scored with four where it can."""


class CollectionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A collection to be made, or one that is there."""

    name: str
    dimension: int
    metric: Metric = "cosine"
    fields: Mapping[str, FieldType] = {}
    """Declared metadata. With any, points and filters may name only these; with none, anything goes."""
    index: IndexOptions = IndexOptions()
    effort: int | None = None
    """Candidates that a search looks at (ef_search, probes) where the query does not say; default: the store's."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One vector with what belongs to it."""

    id: str
    vector: "Vector[float]"
    metadata: Metadata = {}
    text: str | None = None
    """The passage that the vector stands for; what lexical search reads."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The nearest points to a vector."""

    vector: "Vector[float]"
    limit: int = 10
    where: Filter | None = None
    namespace: str = ""
    threshold: float | None = None
    """Least score of a hit."""
    effort: int | None = None
    """Candidates that the index looks at (ef_search, probes); default: the collection's."""
    is_exact: bool = False
    """Whether every point is compared, whatever it costs. Stores that cannot say so in their abilities."""
    with_vectors: bool = False


class TextQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The points whose text has the most to do with some words (BM25 or the store's nearest to it)."""

    text: str
    limit: int = 10
    where: Filter | None = None
    namespace: str = ""
    with_vectors: bool = False


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A point that was found. `score`: cosine similarity, dot product, minus the Euclidean distance, or the words'
    weight; higher is better."""

    id: str
    score: float
    metadata: Metadata = {}
    text: str | None = None
    vector: "Vector[float] | None" = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some of a namespace's points, in an order of the store's that does not change between pages."""

    points: list[Point]
    next: str | None
    """What to go on with; None at the end."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """How large a collection is. None: the store does not tell."""

    namespaces: Mapping[str, int]
    """Points of each namespace that has any."""
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    index: str = ""
    """What stands in for it, in the store's words: `hnsw, 3 segments`."""

    @property
    def points(self) -> int:
        return sum(self.namespaces.values())


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a store can do beyond what all owe: asked before, not tried."""

    max_dimension: int
    metrics: frozenset[Metric] = frozenset(("cosine", "dot", "euclidean"))
    metadata_bytes: int = 40_960
    """Most metadata of one point, as JSON."""
    text_bytes: int = 1_000_000
    """Longest text of one point, in UTF-8."""
    has_text_search: bool = False
    """Whether it is a TextSearch too."""
    is_exact_on_demand: bool = True
    """Whether `Query.is_exact` is heeded."""
    is_consistent: bool = True
    """Whether a read sees every write that was acknowledged before it."""
    writes_whole: bool = True
    """Whether a batch is stored whole or not at all, also when the store breaks down in the middle."""
