"""What the embedded vector store is to reach, beside what was measured: ratios of one run, times of this machine."""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.goals import Goal, at, ratio

OWN: Final = "undercroft"
BAR: Final = "qdrant-edge"
FILTERED: Final = {"m1000": "0.1 %", "m100": "1 %", "m10": "10 %", "m2": "50 %"}

Results = Mapping[str, Any]


def goals_of(results: Results, *, embedded_per_s: float | None = None) -> list[Goal]:
    """Every goal, with what this run says of it."""
    own = results.get(OWN, {})
    goals = [
        Goal(name="no filter, against qdrant-edge", value=_against(results, BAR, "none"), unit="x", must=1.0, aim=1.8)
    ]
    goals += [
        Goal(name=f"filter of {share}, against {BAR}", value=_against(results, BAR, name), unit="x", must=0.5, aim=1.2)
        for name, share in FILTERED.items()
    ]
    goals += [
        Goal(name=f"filter of {share}, against {rival}", value=_against(results, rival, name), unit="x", must=must)
        for rival, must in (("lancedb", 5.0), ("chromadb", 20.0))
        for name, share in FILTERED.items()
    ]
    memory = ratio(at(own, "size", "memory_mb"), at(results.get(BAR, {}), "size", "memory_mb"))
    figures: list[tuple[str, float | None, str, float, float | None]] = [
        ("memory, float vectors included, against qdrant-edge", memory, "x", 0.7, None),
        ("rebuild of the index from SQLite", at(own, "rebuild_s"), "s", 60.0, 20.0),
        ("start with an intact index", at(own, "build", "start_s"), "s", 0.5, None),
        ("hybrid p95", at(own, "hybrid", "p95_ms"), "ms", 15.0, None),
    ]
    goals += [
        Goal(name=name, value=value, unit=unit, must=must, aim=aim, is_least=False)
        for name, value, unit, must, aim in figures
    ]
    goals.append(Goal(name="chunks of 320 characters embedded", value=embedded_per_s, unit="/s", must=100.0))
    return goals


def _against(results: Results, rival: str, filter_name: str) -> float | None:
    """How many times as many searches a second; of a rival that misses the recall, its dearest setting counts."""
    own = at(results.get(OWN, {}), "filters", filter_name, "qps")
    return ratio(own, at(results.get(rival, {}), "filters", filter_name, "qps"))
