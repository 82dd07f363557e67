"""What a plan is made for."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from undercroft.errors import InvalidRequest
from undercroft.planning import curve as days
from undercroft.planning.bounds import bounded
from undercroft.planning.estimate import MOST_DAYS, MOST_MS, MOST_REQUESTS, SECONDS_A_DAY
from undercroft.planning.figures import Basis


class Workload(Struct, frozen=True, kw_only=True):
    """Requests, what each takes, and what is promised. Times in milliseconds, sizes in bytes."""

    daily_requests: float
    avg_ms: float
    """From request to answer when nobody else is there, waiting for a provider included."""
    cpu_fraction: float = 1.0
    """The share of `avg_ms` that keeps a core busy."""
    peak_factor: float = 3.0
    """The busiest hour over the mean one; without a meaning where `curve` is given."""
    curve: tuple[float, ...] | None = None
    """Requests by hour of the day, in any unit."""
    service_scv: float = 1.0
    """Squared coefficient of variation of the time a request takes."""
    p95_target_ms: float | None = None
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    model: str = ""
    """`provider/model`, as the price book has it."""
    retention_days: float = 30.0
    cores_per_replica: int = 1
    concurrency_per_replica: int = 256
    """Requests that one replica has under way at once."""
    vectors: float = 0.0
    vector_dimensions: int = 384
    response_bytes: float | None = None
    provider_requests_per_minute: float | None = None
    """The provider's rate limit."""
    scale_up_s: float = 60.0
    """From the moment the load has grown to the moment another replica takes requests."""
    measured: frozenset[str] = frozenset()
    """Fields that were measured in this installation."""

    def check(self) -> "Workload":
        """Itself. Raises OutOfRange for the first field that no plan can be made from."""
        bounded("daily_requests", self.daily_requests, least=1, most=MOST_REQUESTS)
        bounded("avg_ms", self.avg_ms, least=0.001, most=MOST_MS, unit="ms")
        bounded("cpu_fraction", self.cpu_fraction, least=0, most=1)
        bounded("peak_factor", self.peak_factor, least=1, most=days.HOURS)
        bounded("service_scv", self.service_scv, least=0, most=100)
        if self.p95_target_ms is not None:
            bounded("p95_target_ms", self.p95_target_ms, least=0.001, most=MOST_MS, unit="ms")
        bounded("tokens_in", self.tokens_in, least=0, most=1e8)
        bounded("tokens_out", self.tokens_out, least=0, most=1e8)
        bounded("retention_days", self.retention_days, least=0, most=MOST_DAYS, unit="days")
        bounded("cores_per_replica", self.cores_per_replica, least=1, most=1024)
        bounded("concurrency_per_replica", self.concurrency_per_replica, least=1, most=1_000_000)
        bounded("vectors", self.vectors, least=0, most=1e12)
        bounded("vector_dimensions", self.vector_dimensions, least=1, most=65_536)
        if self.response_bytes is not None:
            bounded("response_bytes", self.response_bytes, least=0, most=1e9, unit="bytes")
        if self.provider_requests_per_minute is not None:
            bounded("provider_requests_per_minute", self.provider_requests_per_minute, least=0.01, most=1e9)
        bounded("scale_up_s", self.scale_up_s, least=0, most=86_400, unit="s")
        if self.curve is not None:
            days.shares(self.curve)
        return self

    @property
    def day(self) -> tuple[float, ...]:
        """Shares of a day's requests by hour."""
        return days.shares(self.curve) if self.curve is not None else days.day_with_peak(self.peak_factor)

    @property
    def peak(self) -> float:
        """The busiest hour over the mean one."""
        return days.peak_factor(days.shares(self.curve)) if self.curve is not None else self.peak_factor

    @property
    def peak_rate(self) -> float:
        """Requests a second in the busiest hour."""
        return self.daily_requests / SECONDS_A_DAY * self.peak

    @property
    def service_s(self) -> float:
        return self.avg_ms / 1000

    @property
    def cpu_s(self) -> float:
        """Seconds of a core for one request."""
        return self.service_s * self.cpu_fraction

    def basis(self, field: str) -> Basis:
        """Where a field's value comes from: a default is an assumption of ours."""
        if field in self.measured:
            return "measured"
        default = {"daily_requests": None, "avg_ms": None}.get(field, getattr(_DEFAULTS, field))
        return "assumed" if getattr(self, field) == default else "given"


def workload_of(given: Mapping[str, Any], measured: Mapping[str, Any]) -> Workload:
    """What is given goes before what was measured. Raises InvalidRequest for a field that both lack, and OutOfRange."""
    fields = {**measured, **given}
    if "peak_factor" in given and "curve" not in given:
        fields.pop("curve", None)
    for name in ("daily_requests", "avg_ms"):
        if name not in fields:
            raise InvalidRequest(f"{name} is missing.", param=name, hint="Give it, or plan from telemetry.")
    return Workload(**fields, measured=frozenset(measured.keys() & fields.keys() - given.keys())).check()


_DEFAULTS = Workload(daily_requests=1, avg_ms=1)
