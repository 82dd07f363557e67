"""What this installation's own calls say about arrivals, times and tokens; summed by the database."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, and_, case, func, select

from undercroft.errors import NotFound
from undercroft.planning.curve import HOURS
from undercroft.storage.schema import calls

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
FIRST_ERROR_STATUS: Final = 400
FEWEST_CALLS: Final = 20
"""Fewer say nothing about a day."""
MOST_ARRIVALS: Final = 100_000


class History(Struct, frozen=True, kw_only=True):
    """Measured over whole days, or over what there is where it is less than one."""

    calls: int
    days: float
    daily_requests: float
    curve: tuple[float, ...]
    """Calls by hour of the day, UTC."""
    mean_ms: float
    scv: float
    tokens_in: float
    tokens_out: float
    model: str
    """`provider/model` that most of the money, else most of the calls, went to."""

    def fields(self) -> dict[str, Any]:
        """Of a Workload."""
        return {
            "daily_requests": self.daily_requests,
            "avg_ms": self.mean_ms,
            "service_scv": self.scv,
            "curve": self.curve,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "model": self.model,
        }


def read_history(connection: Connection, *, organisation: str, since_us: int, until_us: int) -> History:
    """Of the calls that were answered in this time. Raises NotFound where there are too few to say anything."""
    answered = and_(
        calls.c.organisation == organisation,
        calls.c.started_us >= since_us,
        calls.c.started_us < until_us,
        calls.c.status < FIRST_ERROR_STATUS,
    )
    duration_s = calls.c.duration_us / 1e6
    sums = connection.execute(
        select(
            func.count(),
            func.min(calls.c.started_us),
            func.max(calls.c.started_us),
            func.avg(duration_s),
            func.avg(duration_s * duration_s),
            func.avg(calls.c.input_tokens * 1.0),
            func.avg(calls.c.output_tokens * 1.0),
        ).where(answered)
    ).one()
    count, first, last = int(sums[0]), sums[1], sums[2]
    if count < FEWEST_CALLS:
        raise NotFound(
            f"The ledger has {count} answered calls in this time; {FEWEST_CALLS} are the fewest to plan from.",
            hint="Look further back with --since, or give --daily-requests and --avg-ms.",
        )
    mean_s, square, tokens_in, tokens_out = (float(value) for value in sums[3:])
    days = max(1.0, (last - first) / DAY_US)
    return History(
        calls=count,
        days=days,
        daily_requests=count / days,
        curve=_by_hour(connection, answered),
        mean_ms=mean_s * 1000,
        scv=max(0.0, square / mean_s**2 - 1) if mean_s > 0 else 0.0,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        model=_main_model(connection, answered),
    )


def _by_hour(connection: Connection, answered: Any) -> tuple[float, ...]:
    hour = (calls.c.started_us // HOUR_US) % HOURS
    rows = connection.execute(select(hour, func.count()).where(answered).group_by(hour))
    counts = {int(row[0]): float(row[1]) for row in rows}
    return tuple(counts.get(each, 0.0) for each in range(HOURS))


def _main_model(connection: Connection, answered: Any) -> str:
    name = case((calls.c.upstream_model != "", calls.c.upstream_model), else_=calls.c.model)
    query = (
        select(calls.c.provider, name)
        .where(answered)
        .group_by(calls.c.provider, name)
        .order_by(func.sum(calls.c.cost_nano).desc(), func.count().desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return f"{row[0]}/{row[1]}" if row is not None else ""


def read_arrivals(connection: Connection, *, organisation: str, since_us: int) -> Sequence[float]:
    """Seconds of the latest arrivals, ascending, from the first of them on. Raises NotFound for too few."""
    query = (
        select(calls.c.started_us)
        .where(calls.c.organisation == organisation, calls.c.started_us >= since_us)
        .order_by(calls.c.started_us.desc())
        .limit(MOST_ARRIVALS)
    )
    moments = sorted(int(row[0]) for row in connection.execute(query))
    if len(moments) < FEWEST_CALLS or moments[0] == moments[-1]:
        raise NotFound(
            f"The ledger has {len(moments)} calls; {FEWEST_CALLS} at different times are the fewest to replay.",
            hint="Leave --recorded out: arrivals are then drawn at random (Poisson).",
        )
    return [(moment - moments[0]) / 1e6 for moment in moments]
