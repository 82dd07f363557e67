"""The short answer: cores, memory, storage and money from three numbers. `undercroft plan estimate` says more."""

from functools import lru_cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from undercroft.planning.bounds import bounded

UNIT_PRICES: Final = Path(__file__).parent / "data" / "unit_prices.json"
CPU_TARGET: Final = 0.8
"""Cores are planned to be this busy at the peak."""
GB_PER_CORE: Final = 2.0
GB_PER_REQUEST: Final = 1e-6
"""Log and cache: 1 kB."""
SECONDS_A_DAY: Final = 86_400
HOURS_A_MONTH: Final = 730
"""A year's 8,760 hours, divided by twelve."""
MOST_REQUESTS: Final = 1e10
"""A day; a hundred for each human being."""
MOST_MS: Final = 3.6e6
"""An hour for one request."""
MOST_FACTOR: Final = 1000.0
MOST_DAYS: Final = 3660


class UnitPrice(Struct, frozen=True):
    """A month of one vCPU and of one GiB of memory, fitted to three instance families of one generation."""

    families: str
    usd_cpu_month: float
    usd_memory_month: float


class UnitPrices(Struct, frozen=True):
    """What cores, memory and disk cost where nothing more is known, with where the figures come from."""

    source: str
    date: str
    region: str
    low: UnitPrice
    likely: UnitPrice
    high: UnitPrice
    usd_disk_gb_month: float
    disk_source: str
    disk_date: str


@lru_cache(maxsize=1)
def unit_prices() -> UnitPrices:
    """The figures in the package."""
    import msgspec

    return msgspec.json.decode(UNIT_PRICES.read_bytes(), type=UnitPrices)


def estimate_resources(
    daily_requests: float,
    avg_processing_time_ms: float,
    peak_factor: float = 3.0,
    *,
    cpu_fraction: float = 1.0,
    retention_days: float = 30,
) -> dict[str, float]:
    """What a service needs at its peak: `cpu_cores`, `memory_gb`, `storage_gb`, each rounded to 1 decimal, and
    `estimated_monthly_cost` in USD for compute and storage of the amounts before rounding (no tokens).

    Of `avg_processing_time_ms` the share `cpu_fraction` needs a core; the rest is waiting, for a provider say.
    Raises ValueError for what is negative, not finite or absurd.
    """
    requests = bounded("daily_requests", daily_requests, least=0, most=MOST_REQUESTS)
    busy_s = bounded("avg_processing_time_ms", avg_processing_time_ms, least=0, most=MOST_MS, unit="ms") / 1000
    peak = bounded("peak_factor", peak_factor, least=0, most=MOST_FACTOR)
    share = bounded("cpu_fraction", cpu_fraction, least=0, most=1)
    days = bounded("retention_days", retention_days, least=0, most=MOST_DAYS, unit="days")
    cores = cores_needed(requests / SECONDS_A_DAY * peak, busy_s * share)
    memory_gb = cores * GB_PER_CORE
    storage_gb = requests * days * GB_PER_REQUEST
    return {
        "cpu_cores": round(cores, 1),
        "memory_gb": round(memory_gb, 1),
        "storage_gb": round(storage_gb, 1),
        "estimated_monthly_cost": calculate_cost(cores, memory_gb, storage_gb),
    }


def cores_needed(rate: float, cpu_s: float) -> float:
    """Cores that are CPU_TARGET busy with `rate` requests a second of `cpu_s` each."""
    return rate * cpu_s / CPU_TARGET


def calculate_cost(cpu_cores: float, memory_gb: float, storage_gb: float) -> float:
    """USD a month, from the dated unit prices in `planning/data` (AWS us-east-1, on demand; a GB of memory is a GiB).

    Raises ValueError for what is negative, not finite or absurd.
    """
    cores = bounded("cpu_cores", cpu_cores, least=0, most=1e10)
    memory = bounded("memory_gb", memory_gb, least=0, most=1e11)
    storage = bounded("storage_gb", storage_gb, least=0, most=1e11)
    prices = unit_prices()
    compute = cores * prices.likely.usd_cpu_month + memory * prices.likely.usd_memory_month
    return compute + storage * prices.usd_disk_gb_month
