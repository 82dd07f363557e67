"""What the gateway is to reach, beside what was measured: ratios to nginx within one run, times of this machine."""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.goals import Goal, at, ratio

OWN: Final = "undercroft"
CACHED: Final = "undercroft_cached"
LIMIT: Final = "nginx"

Found = Mapping[str, Any]


def goals_of(found: Found, *, decisions: Found) -> list[Goal]:
    """Every goal, with what this run says of it. `decisions`: see benchmarks/decisions.py."""

    def cpu(contender: str, phase: str) -> float | None:
        limit = at(found, LIMIT, phase, "cpu_us_per_answer")
        return ratio(at(found, contender, phase, "cpu_us_per_answer"), limit)

    def beyond(phase: str, figure: str) -> float | None:
        own, limit = at(found, OWN, phase, figure), at(found, LIMIT, phase, figure)
        return None if own is None or limit is None else own - limit

    figures: list[tuple[str, float | None, str, float, float | None]] = [
        ("CPU of a call, against nginx", cpu(OWN, "saturated_64"), "x", 3.5, None),
        ("CPU of a stream of 100 chunks, against nginx", cpu(OWN, "stream_16"), "x", 2.5, 2.0),
        ("CPU of a cached answer, against nginx passing it on", cpu(CACHED, "saturated_64"), "x", 2.5, None),
        ("added to the median, one connection", beyond("one_connection", "p50_ms"), "ms", 0.4, None),
        ("p99 beyond nginx's, 64 connections, upstream of 50 ms", beyond("slow_64", "p99_ms"), "ms", 5.0, None),
        ("memory before the first call", at(found, OWN, "idle_pss_mb"), "MB", 90.0, None),
        ("a record in the ledger's spool", at(decisions, "record_us"), "µs", 10.0, None),
        ("a budget's hold and its settlement", at(decisions, "budget_us"), "µs", 2.0, None),
        ("questions to Redis a call", at(decisions, "redis_per_call"), "", 0.1, None),
    ]
    return [
        Goal(name=name, value=value, unit=unit, must=must, aim=aim, is_least=False)
        for name, value, unit, must, aim in figures
    ]
