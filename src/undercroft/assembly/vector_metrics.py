"""What `/metrics` says of vector stores: how long searches take, and how much of the exact answer they find."""

from typing import TYPE_CHECKING, Final

from undercroft.clock import Clock
from undercroft.telemetry.metrics import US_PER_S, Metrics
from undercroft.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from undercroft.vectors.store import VectorStore

PROBE_EVERY: Final = 100
"""One search of so many is made again, exactly, beside the answer."""
SEARCH_BOUNDS_US: Final = tuple(
    round(seconds * US_PER_S) for seconds in (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
)
RECALL_BOUNDS: Final = (500, 700, 800, 900, 950, 990, 999)
"""In thousandths: a bucket holds what is at most this; the rest was complete."""


class VectorMetrics:
    """The series of vector stores."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self.tracing = tracing
        self.took = metrics.histogram(
            "ai_vector_query_seconds", "Searches in a vector store.", ("store", "operation"), bounds=SEARCH_BOUNDS_US
        )
        self.failed = metrics.counter(
            "ai_vector_query_errors_total", "Searches that failed, by the error's code.", ("store", "operation", "type")
        )
        self.recall = metrics.histogram(
            "ai_vector_recall_ratio",
            f"Share of the exact answer that the index found, of one search in {PROBE_EVERY}.",
            ("store",),
            bounds=RECALL_BOUNDS,
            scale=1000,
        )

    def around(self, store: "VectorStore", *, clock: Clock) -> "VectorStore":
        """The same store, measured."""
        from undercroft.assembly.measured_vectors import measured  # with the stores, once one is needed

        return measured(store, self, clock=clock)
