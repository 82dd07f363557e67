"""Which vector database suits a load: memory, disk, replicas, cost, what fits and what may go wrong, as a ranked list.

Everything here is an estimate; `undercroft vectors bench` measures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, assert_never

from undercroft.errors import InvalidRequest
from undercroft.vectors.prices import Prices
from undercroft.vectors.sizing import STORES, Load, Size, Store, size_of

HOURS: Final = 730
SECONDS: Final = HOURS * 3600
LARGEST_MEMORY_GIB: Final = 256.0
"""Larger collections are split over several machines."""
GIB: Final = 2**30
MANAGED: Final = ("pinecone", "weaviate-cloud", "qdrant-cloud")
EMBEDDED_MOST: Final = 2_000_000
"""Vectors; beyond, one process's index takes too long to build again."""
HALF_DIMENSIONS: Final = 4000
"""What pgvector's HNSW takes at two bytes a number."""

Fit = Literal["good", "fair", "poor"]
ORDER: Final[dict[Fit, int]] = {"good": 0, "fair": 1, "poor": 2}


@dataclass(frozen=True, slots=True)
class Machine:
    """One that can be rented."""

    name: str
    vcpu: int
    memory_gib: float
    usd_month: Decimal
    source: str
    date: str


FindMachine = Callable[[float, float], Machine | None]
"""The cheapest with so many vCPU and GiB; None where there is none."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A part of the monthly bill. `usd` None: unknown, and not in the total."""

    what: str
    usd: Decimal | None
    source: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to keep the vectors."""

    name: str
    fit: Fit
    machines: int
    machine: str
    memory_bytes: int | None
    disk_bytes: int | None
    costs: tuple[Cost, ...]
    reasons: tuple[str, ...]
    risks: tuple[str, ...]
    basis: tuple[str, ...]

    @property
    def usd_month(self) -> Decimal | None:
        """What is known of the bill; None where nothing is, or where the main part is not."""
        if not self.costs or self.costs[0].usd is None:
            return None
        return sum((cost.usd for cost in self.costs if cost.usd is not None), Decimal(0))

    @property
    def is_complete(self) -> bool:
        return all(cost.usd is not None for cost in self.costs)


def check_load(load: Load) -> None:
    """Raises InvalidRequest, naming the option."""
    bounds: tuple[tuple[str, float, float, float], ...] = (
        ("--vectors", load.vectors, 1, 10**11),
        ("--dim", load.dimension, 1, 65_535),
        ("--qps", load.queries_per_s, 0, 10**7),
        ("--update-rate", load.updates_per_s, 0, 10**7),
        ("--metadata-bytes", load.metadata_bytes, 0, 10**6),
        ("--copies", load.copies, 1, 20),
    )
    for name, given, least, most in bounds:
        if not (math.isfinite(given) and least <= given <= most):
            raise InvalidRequest(f"{name} is {given:g}; it takes {least:g} to {most:g}.")


def compare(load: Load, prices: Prices, find: FindMachine) -> list[Candidate]:
    """All candidates, the most fitting first, and of equally fitting ones the cheapest. Raises InvalidRequest."""
    check_load(load)
    candidates = [_hosted(store, load, prices, find) for store in STORES]
    candidates += [_pinecone(load, prices), _weaviate_cloud(load, prices), _qdrant_cloud(load, prices)]
    return sorted(candidates, key=lambda one: (ORDER[one.fit], one.usd_month is None, one.usd_month or 0, one.name))


def _hosted(store: Store, load: Load, prices: Prices, find: FindMachine) -> Candidate:
    size = size_of(store, load)
    shards = 1 if store == "embedded" else max(1, math.ceil(size.memory_bytes / GIB / LARGEST_MEMORY_GIB))
    # Each copy answers its share of the searches, and the rest must carry them when one is away.
    serving = max(1, load.copies - 1)
    cores = max(1.0, (size.cores or 1.0) / serving / shards)
    machine = find(cores, size.memory_bytes / GIB / shards)
    machines = shards * load.copies
    if machine is None:
        costs = [Cost(f"{machines} machines", None, "no machine of the data is large enough")]
    else:
        told = f"{machine.source}, {machine.date}"
        costs = [Cost(f"{machines} of {machine.name}", machine.usd_month * machines, told)]
    gb = Decimal(size.disk_bytes) * load.copies / 10**9
    costs.append(_priced(prices, "disk", "gb_month", gb, f"{gb:.0f} GB of disk"))
    fit, reasons, risks = _judged(store, load, size)
    return Candidate(
        name=store,
        fit=fit,
        machines=machines,
        machine=machine.name if machine else "",
        memory_bytes=size.memory_bytes,
        disk_bytes=size.disk_bytes,
        costs=tuple(costs),
        reasons=reasons,
        risks=risks,
        basis=size.basis,
    )


def _judged(store: Store, load: Load, size: Size) -> tuple[Fit, tuple[str, ...], tuple[str, ...]]:
    match store:
        case "embedded":
            fit: Fit = "good"
            risks = ["one machine holds it: the others need a copy of the file"] if load.copies > 1 else []
            if load.vectors > EMBEDDED_MOST or (size.cores or 0) > 32:
                fit = "poor"
                risks.append(f"beyond {EMBEDDED_MOST:,} vectors the index takes long to build after a loss")
            elif load.copies > 1:
                fit = "fair"
            reasons = ["nothing to run or to pay besides the application", "filters are exact: k fit, k come back"]
        case "qdrant":
            fit, risks = "good", ["one more service to run, to secure and to back up"]
            reasons = ["filters inside the graph search; payload indexes", "replicas and shards are its own"]
        case "pgvector":
            fit = "good" if load.dimension <= HALF_DIMENSIONS else "poor"
            reasons = ["vectors stand beside the other tables: one transaction, one backup"]
            risks = ["replicas and failover are PostgreSQL's, set up by you"]
            if load.has_filters:
                reasons.append("filters need iterative scans and an exact fallback: undercroft sets both")
            if load.updates_per_s > 100:
                fit = "fair" if fit == "good" else fit
                risks.append("an HNSW index slows writes, and updates leave dead rows for VACUUM")
            if load.vectors > 10_000_000:
                fit = "fair" if fit == "good" else fit
                risks.append("no sharding of its own: one machine holds every vector")
            if load.dimension > HALF_DIMENSIONS:
                risks.append(f"its HNSW takes {HALF_DIMENSIONS} dimensions at most")
        case "weaviate":
            fit, risks = "good", ["keeps the float vectors in memory unless they are compressed, at a cost in recall"]
            reasons = ["keyword search (BM25) of its own", "namespaces are tenants with an index each"]
            risks.append("not measured here: no package brings the server")
        case _:
            assert_never(store)
    if store in ("qdrant", "weaviate", "pgvector") and load.vectors < 50_000:
        fit = "fair" if fit == "good" else fit
        risks.append("a server for fewer vectors than one process searches exactly in milliseconds")
    return fit, tuple(reasons), tuple(risks)


def _pinecone(load: Load, prices: Prices) -> Candidate:
    stored = load.raw_bytes + load.vectors * (load.metadata_bytes + 8)
    gb = Decimal(stored) / 10**9
    # Its documentation: a query takes a unit for each GB of the namespace, 0.25 at least; a write one for each kB.
    reads = Decimal(load.queries_per_s) * SECONDS * max(gb, Decimal("0.25")) / 10**6
    kilobytes = -(-(load.dimension * 4 + load.metadata_bytes + 8) // 1000)
    writes = Decimal(load.updates_per_s) * SECONDS * kilobytes / 10**6
    costs = [
        _priced(prices, "pinecone", "million_read_units", reads, f"{reads:.0f} million read units"),
        _priced(prices, "pinecone", "storage_gb_month", gb, f"{gb:.1f} GB stored"),
        _priced(prices, "pinecone", "million_write_units", writes, f"{writes:.0f} million write units"),
    ]
    risks = ["reads show a write after a while", "a service only: leaving means copying everything out"]
    if gb > 10:
        risks.append("a query is paid by the size of its namespace: split it, or take dedicated read nodes")
    if load.has_text:
        risks.append("keyword search is another index")
    return _managed("pinecone", _with_minimum(prices, "pinecone", costs), ("nothing to run", "grows by itself"), risks)


def _weaviate_cloud(load: Load, prices: Prices) -> Candidate:
    millions = Decimal(load.vectors) * load.dimension / 10**6
    gib = Decimal(load.raw_bytes + load.vectors * load.metadata_bytes) / GIB
    costs = [
        _priced(
            prices, "weaviate-cloud", "million_dimensions_month", millions, f"{millions:.0f} million dimensions stored"
        ),
        _priced(prices, "weaviate-cloud", "storage_gib_month", gib, f"{gib:.1f} GiB stored"),
    ]
    reasons = ("nothing to run", "the same software can be run by you")
    risks = ["prices begin where they are given, and rise with plan and region"]
    return _managed("weaviate-cloud", _with_minimum(prices, "weaviate-cloud", costs), reasons, risks)


def _qdrant_cloud(load: Load, prices: Prices) -> Candidate:
    gib = Decimal(size_of("qdrant", load).memory_bytes) * load.copies / GIB
    costs = [_priced(prices, "qdrant-cloud", "node_gib_month", gib, f"{gib:.0f} GiB of nodes")]
    reasons = ("nothing to run", "the same software can be run by you")
    return _managed("qdrant-cloud", costs, reasons, ["its price is behind a calculator: ask before you choose"])


def _managed(name: str, costs: list[Cost], reasons: tuple[str, ...], risks: list[str]) -> Candidate:
    return Candidate(
        name=name,
        fit="good",
        machines=0,
        machine="",
        memory_bytes=None,
        disk_bytes=None,
        costs=tuple(costs),
        reasons=reasons,
        risks=tuple(risks),
        basis=("usage by the service's own rules of counting",),
    )


def _with_minimum(prices: Prices, service: str, costs: list[Cost]) -> list[Cost]:
    known = [cost.usd for cost in costs if cost.usd is not None]
    least = prices.get((service, "minimum_month"))
    if least is None or len(known) < len(costs) or (missing := least.usd - sum(known, Decimal(0))) <= 0:
        return costs
    return [*costs, Cost("up to the least that is billed", missing, f"{least.source}, {least.date}")]


def _priced(prices: Prices, service: str, item: str, amount: Decimal, what: str) -> Cost:
    if (price := prices.get((service, item))) is None:
        return Cost(what, None, "no dated price")
    return Cost(what, amount * price.usd, f"{price.plan}; {price.source}, {price.date}")
