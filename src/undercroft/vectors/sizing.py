"""How much memory, disk and CPU a vector database wants: estimates, each with what it rests on."""

import math
from dataclasses import dataclass
from typing import Final, Literal, assert_never

FLOAT_BYTES: Final = 4
HALF_BYTES: Final = 2
LINK_BYTES: Final = 4
ROW_BYTES: Final = 100
"""Id, bookkeeping and its index, of one row."""
CONNECTIVITY: Final = 16
MEASURED_ROWS: Final = 100_000
MEASURED_DIMENSION: Final = 384

Store = Literal["embedded", "qdrant", "pgvector", "weaviate"]
STORES: Final[tuple[Store, ...]] = ("embedded", "qdrant", "pgvector", "weaviate")

MEASURED_QPS: Final[dict[Store, float | None]] = {
    "embedded": 1632.0,
    "qdrant": 879.0,
    "pgvector": 916.0,
    "weaviate": None,
}
"""Searches a second of one thread at recall@10 of 0.99, 384 dimensions, no filter: the engines alone (usearch,
qdrant-edge, pgvector in PostgreSQL 18), measured on one machine with two cores."""
PGVECTOR_ROWS: Final = 20_000
"""pgvector was measured on fewer."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the collection holds and what is asked of it."""

    vectors: int
    dimension: int
    queries_per_s: float
    has_filters: bool = False
    has_text: bool = False
    updates_per_s: float = 0.0
    metadata_bytes: int = 500
    """Metadata and text of one point."""
    copies: int = 2
    """So many machines hold everything, so that one may fail."""

    @property
    def raw_bytes(self) -> int:
        return self.vectors * self.dimension * FLOAT_BYTES


@dataclass(frozen=True, slots=True)
class Size:
    """What one copy wants."""

    memory_bytes: int
    disk_bytes: int
    cores: float | None
    """None: nobody measured it here."""
    basis: tuple[str, ...]


def graph_bytes(vectors: int, *, connectivity: int = CONNECTIVITY) -> int:
    """An HNSW graph's links: twice M on the ground, M above, where 1/ln(M) layers are expected of each node.

    After Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
    Small World graphs" (2018), section 4.2.3.
    """
    return int(vectors * (2 * connectivity + connectivity / math.log(connectivity)) * LINK_BYTES)


def size_of(store: Store, load: Load) -> Size:
    graph, rows = graph_bytes(load.vectors), load.vectors * (load.metadata_bytes + ROW_BYTES)
    half = load.vectors * load.dimension * HALF_BYTES
    text = load.vectors * load.metadata_bytes // 2 if load.has_text else 0
    cores, measured = _cores(store, load)
    match store:
        case "embedded":
            memory = half + graph + load.vectors * load.dimension // 8
            disk = 2 * load.raw_bytes + rows + half + graph + text
            basis = "memory: two bytes a number, the graph's links and a bit a number; floats are read from disk"
        case "qdrant":
            memory = int(load.raw_bytes * 1.5)
            disk = int(load.raw_bytes * 1.5) + rows + text
            basis = "memory: Qdrant's own rule, vectors times 4 bytes times 1.5 (qdrant.tech, capacity planning)"
        case "pgvector":
            memory = half + 2 * graph
            disk = load.raw_bytes + rows + 2 * (half + 2 * graph) + text
            basis = "memory: the half-precision HNSW index in shared buffers, links of 6 bytes in half-filled pages"
        case "weaviate":
            memory = 2 * load.raw_bytes
            disk = 2 * load.raw_bytes + rows + text
            basis = "memory: Weaviate's own rule, twice the vectors (docs.weaviate.io, resource planning)"
        case _:
            assert_never(store)
    # A quarter for the program, its caches and what is written meanwhile.
    return Size(int(memory * 1.25) + 500_000_000, disk, cores, (basis, measured))


def _cores(store: Store, load: Load) -> tuple[float | None, str]:
    measured = MEASURED_QPS[store]
    if measured is None:
        return None, "CPU: not measured here; the memory decides the machine"
    rows = PGVECTOR_ROWS if store == "pgvector" else MEASURED_ROWS
    # A search looks at a number of nodes that grows with the logarithm, and compares every dimension of each.
    slower = load.dimension / MEASURED_DIMENSION * max(1.0, math.log(max(load.vectors, 2)) / math.log(rows))
    # Half for the network, filters and everything else a server does; a write costs about as much as five searches.
    cores = (load.queries_per_s + 5 * load.updates_per_s) * slower / measured * 2
    basis = (
        f"CPU: {measured:g} searches/s of a thread at {rows:,} x {MEASURED_DIMENSION}, scaled, and half of it counted"
    )
    return cores, basis
