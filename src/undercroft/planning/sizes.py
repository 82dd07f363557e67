"""How much the stores hold and the network carries, each figure with how it was computed."""

from typing import Final

from undercroft.planning.estimate import GB_PER_REQUEST
from undercroft.planning.figures import Figure
from undercroft.planning.workload import Workload

DAYS_A_MONTH: Final = 365 / 12
LEDGER_BYTES_PER_CALL: Final = 430
"""What the SQLite file grew by per row of `calls`, indexes included: 427 over 50,000 rows, 2026-11-25."""
ANSWER_BYTES: Final = 700
"""An answer without its text: JSON envelope and HTTP headers."""
BYTES_PER_TOKEN: Final = 4
CACHED_HOURS: Final = 1
VECTOR_OVERHEAD: Final = 1.5
"""Graph and payload index over the bare numbers."""
PAYLOAD_BYTES: Final = 1000


def response_bytes(workload: Workload) -> float:
    """Of one answer, on the wire."""
    if workload.response_bytes is not None:
        return workload.response_bytes
    return ANSWER_BYTES + workload.tokens_out * BYTES_PER_TOKEN


def egress_gb_month(workload: Workload) -> float:
    return workload.daily_requests * DAYS_A_MONTH * response_bytes(workload) / 1e9


def storage_gb(workload: Workload) -> float:
    return workload.daily_requests * workload.retention_days * GB_PER_REQUEST


def sizes(workload: Workload) -> tuple[Figure, ...]:
    """Log, database, cache, vectors and egress."""
    answer = response_bytes(workload)
    kept = f"kept for {workload.retention_days:g} days"
    cached = workload.peak_rate * 3600 * CACHED_HOURS
    vector_bytes = workload.vector_dimensions * 4 * VECTOR_OVERHEAD + PAYLOAD_BYTES
    return (
        _size("storage", storage_gb(workload), "GB", f"1 kB of log and cache a request, {kept}"),
        _size(
            "database",
            workload.daily_requests * workload.retention_days * LEDGER_BYTES_PER_CALL / 1e9,
            "GB",
            f"{LEDGER_BYTES_PER_CALL} bytes a call in the ledger (measured on SQLite, 2026-11-25), {kept}",
        ),
        _size(
            "redis",
            cached * answer / 1e9,
            "GB",
            f"every answer of the busiest hour ({answer:.0f} bytes) cached for {CACHED_HOURS} h: the most there can be",
        ),
        _size(
            "vector_store",
            workload.vectors * vector_bytes / 1e9,
            "GB",
            f"{workload.vectors:g} vectors of {workload.vector_dimensions} numbers of 4 bytes, half as much again for "
            f"the index, {PAYLOAD_BYTES} bytes of payload each",
        ),
        _size(
            "egress",
            egress_gb_month(workload),
            "GB/month",
            f"{answer:.0f} bytes an answer"
            if workload.response_bytes is not None
            else f"{answer:.0f} bytes an answer: {ANSWER_BYTES} and {BYTES_PER_TOKEN} for each token out",
        ),
    )


def _size(name: str, value: float, unit: str, how: str) -> Figure:
    return Figure(name=name, value=value, unit=unit, basis="derived", how=how)
