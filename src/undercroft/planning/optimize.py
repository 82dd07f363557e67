"""Money that the ledger shows could be saved, each amount with how it was computed and how sure it is."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, and_, case, func, select

from undercroft.planning.bounds import bounded
from undercroft.planning.estimate import CPU_TARGET, GB_PER_CORE, HOURS_A_MONTH, unit_prices
from undercroft.planning.history import DAY_US, HOUR_US
from undercroft.planning.own_prices import OwnPrices
from undercroft.storage.schema import calls

FEWEST_FOR_A_BATCH: Final = 100
"""Calls of one key and model; fewer are not worth the wait."""
NANO: Final = 1e9


class Saving(Struct, frozen=True, kw_only=True):
    """One way to spend less. USD a month at the pace of the period; None: it cannot be told."""

    what: str
    at_stake: float | None
    """Spent on it now."""
    low: float | None
    likely: float | None
    high: float | None
    how: str


class Savings(Struct, frozen=True, kw_only=True):
    """What `undercroft plan optimize` prints."""

    days: float
    calls: int
    spent: float
    """USD in the period, on calls whose price is known."""
    unpriced_calls: int
    """Calls in no amount here: their price is unknown."""
    savings: tuple[Saving, ...]
    warnings: tuple[str, ...]


class Fleet(Struct, frozen=True, kw_only=True):
    """Replicas of one core that run all day, and what a call needs of them."""

    replicas: int
    cpu_fraction: float


def fleet_of(replicas: int, cpu_fraction: float) -> Fleet:
    """Raises OutOfRange."""
    return Fleet(
        replicas=int(bounded("replicas", replicas, least=1, most=1_000_000)),
        cpu_fraction=bounded("cpu_fraction", cpu_fraction, least=0, most=1),
    )


def find_savings(
    connection: Connection,
    *,
    organisation: str,
    since_us: int,
    until_us: int,
    prices: OwnPrices,
    fleet: Fleet | None = None,
) -> Savings:
    """From the calls of this time."""
    period = and_(calls.c.organisation == organisation, calls.c.started_us >= since_us, calls.c.started_us < until_us)
    unpriced = and_(calls.c.price == "", calls.c.attempts > 0)
    count, first, last, spent, without = connection.execute(
        select(
            func.count(),
            func.min(calls.c.started_us),
            func.max(calls.c.started_us),
            func.sum(calls.c.cost_nano),
            func.count(case((unpriced, 1))),
        ).where(period)
    ).one()
    days = max(1.0, ((last or 0) - (first or 0)) / DAY_US)
    per_month = HOURS_A_MONTH / 24 / days
    found = [_repeats(connection, period, per_month), _batches(connection, period, per_month, prices)]
    if fleet is not None:
        found.append(_idle(connection, period, days, fleet))
    warnings = [f"{without} calls have no known price and are in no amount"] if without else []
    return Savings(
        days=days,
        calls=int(count),
        spent=int(spent or 0) / NANO,
        unpriced_calls=int(without),
        savings=tuple(found),
        warnings=tuple(warnings),
    )


def _repeats(connection: Connection, period: Any, per_month: float) -> Saving:
    """Calls that look the same from outside: the ledger keeps no prompts, so it can only bound this."""
    same_question = (calls.c.key, calls.c.endpoint, calls.c.model, calls.c.input_tokens)
    paid = and_(period, calls.c.cost_nano > 0, calls.c.input_tokens > 0)
    most = _beyond_the_first(connection, paid, same_question)
    likely = _beyond_the_first(connection, paid, (*same_question, calls.c.output_tokens))
    total = connection.execute(select(func.sum(calls.c.cost_nano)).where(paid)).scalar()
    return Saving(
        what="cacheable repeats",
        at_stake=int(total or 0) / NANO * per_month,
        low=0.0,
        likely=likely * per_month,
        high=most * per_month,
        how=(
            "cost of all but the dearest call of each group with the same key, route, model and number of input tokens "
            "(high), and the same number of output tokens, too (likely); the ledger keeps no prompts, so that none of "
            "them is the same is possible (low)"
        ),
    )


def _beyond_the_first(connection: Connection, paid: Any, group: Sequence[Any]) -> float:
    """USD of all but one call of each group."""
    groups = (
        select((func.sum(calls.c.cost_nano) - func.max(calls.c.cost_nano)).label("repeated"))
        .where(paid)
        .group_by(*group)
        .having(func.count() > 1)
        .subquery()
    )
    return int(connection.execute(select(func.sum(groups.c.repeated))).scalar() or 0) / NANO


def _batches(connection: Connection, period: Any, per_month: float, prices: OwnPrices) -> Saving:
    """Keys that never stream and call often: programs that may well wait."""
    groups = (
        select(func.sum(calls.c.cost_nano).label("cost"))
        .where(and_(period, calls.c.cost_nano > 0))
        .group_by(calls.c.key, calls.c.model)
        .having(func.count(case((calls.c.streamed, 1))) == 0, func.count() >= FEWEST_FOR_A_BATCH)
        .subquery()
    )
    at_stake = int(connection.execute(select(func.sum(groups.c.cost))).scalar() or 0) / NANO * per_month
    discount = prices.batch_discount
    how = (
        f"cost of keys that never streamed from a model and called it {FEWEST_FOR_A_BATCH} times or more; whether they "
        "can wait for hours is yours to know"
    )
    if discount is None:
        how += "; what a batch costs less is not known: set batch_discount in prices.toml"
        return Saving(what="batchable traffic", at_stake=at_stake, low=None, likely=None, high=None, how=how)
    saved = at_stake * discount
    how += f"; a batch costs {discount:.0%} less (your prices.toml)"
    return Saving(what="batchable traffic", at_stake=at_stake, low=0.0, likely=saved / 2, high=saved, how=how)


def _idle(connection: Connection, period: Any, days: float, fleet: Fleet) -> Saving:
    """Replica hours beyond what each hour's calls would have needed."""
    hour = calls.c.started_us // HOUR_US
    rows = connection.execute(select(hour, func.sum(calls.c.duration_us)).where(period).group_by(hour))
    hours = days * 24
    needed = 0.0
    counted = 0
    for row in rows:
        cores = int(row[1]) * fleet.cpu_fraction / HOUR_US / CPU_TARGET
        needed += min(fleet.replicas, max(1, -(-cores // 1)))
        counted += 1
    needed += max(0.0, hours - counted)  # one replica stays through hours without a call
    idle = max(0.0, fleet.replicas * hours - needed)
    price = unit_prices().likely
    usd_hour = (price.usd_cpu_month + GB_PER_CORE * price.usd_memory_month) / HOURS_A_MONTH
    month = idle / hours * HOURS_A_MONTH * usd_hour
    return Saving(
        what="idle replicas",
        at_stake=fleet.replicas * HOURS_A_MONTH * usd_hour,
        low=month / 2,
        likely=month,
        high=month,
        how=(
            f"{idle:.0f} of {fleet.replicas * hours:.0f} replica hours beyond what each hour's calls need at "
            f"{CPU_TARGET:.0%} of a core, at least one ({fleet.cpu_fraction:.0%} of a call's time is CPU: given or "
            f"assumed), at {usd_hour:.4f} USD an hour ({unit_prices().source}, {unit_prices().date}); low: half of it, "
            "for an autoscaler that is slow"
        ),
    )
