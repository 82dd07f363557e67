"""Where spending goes from here: what is left of each budget by its end, and whether today is out of the ordinary."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select

from undercroft.clock import rfc3339
from undercroft.ledger.limit_repository import WAS_LET_IN
from undercroft.ledger.limits import NEVER_US, Limit, period_of, start_of
from undercroft.ledger.usage import DAY_US
from undercroft.storage.schema import calls

DAYS_BEFORE: Final = 7
LEAST_DAYS: Final = 3
"""So many of the days before have to have cost something: two are no habit."""
LEAST_NANO: Final = 1_000_000_000
"""Nobody is told of an anomaly below a dollar."""
DEVIATIONS: Final = 3
LEAST_FACTOR: Final = 1.5
MOST_SUBJECTS: Final = 100
"""Of a budget that each has to itself, those that have spent most of it."""


class BudgetOutlook(msgspec.Struct, frozen=True, kw_only=True):
    """One budget in the period that runs."""

    budget: str
    """In words: `10 USD a day for each key`."""
    subject: str
    used_nano: int
    amount_nano: int
    ends_at: str | None
    """When it begins anew; null: never."""
    forecast_nano: int | None
    """What will be used by then if spending goes on as it did in this period; null: it does not end."""
    spent_at: str | None
    """When it will be used up at this pace; null: not before it begins anew."""


class SpendToday(msgspec.Struct, frozen=True, kw_only=True):
    """Today, up to now, against the same hours of the days before (UTC)."""

    today_nano: int
    days_before_nano: list[int]
    """The day before first."""
    usual_nano: int
    """Their mean."""
    is_anomalous: bool


def outlook_of(limit: Limit, *, subject: str, used_nano: int, now_us: int) -> BudgetOutlook:
    """A straight line through the beginning of the period and now."""
    period_id, ends_us = period_of(limit.period, now_us)
    renews = ends_us < NEVER_US
    elapsed_us = max(1, now_us - start_of(limit.period, period_id)) if renews else 0
    forecast = used_nano * (elapsed_us + ends_us - now_us) // elapsed_us if renews else None
    spent_at: str | None = None
    if used_nano >= limit.amount:
        spent_at = rfc3339(now_us)
    elif forecast is not None and forecast > limit.amount:
        spent_at = rfc3339(now_us + (limit.amount - used_nano) * elapsed_us // used_nano)
    return BudgetOutlook(
        budget=limit.title,
        subject=subject,
        used_nano=used_nano,
        amount_nano=limit.amount,
        ends_at=rfc3339(ends_us) if renews else None,
        forecast_nano=forecast,
        spent_at=spent_at,
    )


def judged(today_nano: int, before_nano: Sequence[int]) -> SpendToday:
    """Out of the ordinary is what lies more than three standard deviations, and half as much again, above the mean."""
    days = [nano for nano in before_nano if nano]
    usual = round(statistics.fmean(before_nano)) if before_nano else 0
    spread = statistics.pstdev(before_nano) if before_nano else 0.0
    is_anomalous = (
        len(days) >= LEAST_DAYS
        and today_nano >= LEAST_NANO
        and today_nano > usual + DEVIATIONS * spread
        and today_nano > LEAST_FACTOR * usual
    )
    return SpendToday(
        today_nano=today_nano, days_before_nano=list(before_nano), usual_nano=usual, is_anomalous=is_anomalous
    )


def spend_today(connection: Connection, *, organisation: str, now_us: int) -> SpendToday:
    """Sums of the same hours of each day."""
    midnight_us = now_us // DAY_US * DAY_US
    sums = []
    for days in range(DAYS_BEFORE + 1):
        since_us = midnight_us - days * DAY_US
        sums.append(_spent(connection, organisation, since_us, now_us - days * DAY_US))
    return judged(sums[0], sums[1:])


def _spent(connection: Connection, organisation: str, since_us: int, until_us: int) -> int:
    query = select(func.coalesce(func.sum(calls.c.cost_nano), 0)).where(
        calls.c.organisation == organisation, calls.c.started_us >= since_us, calls.c.started_us < until_us
    )
    return int(connection.execute(query).scalar_one())


def budgets(connection: Connection, limits: Iterable[Limit], *, organisation: str, now_us: int) -> list[BudgetOutlook]:
    """Every budget, and of those that each has to itself, the subjects that have spent most."""
    found: list[BudgetOutlook] = []
    for limit in limits:
        if limit.measure != "spend" or limit.organisation not in ("", organisation):
            continue
        spent = _by_subject(connection, limit, organisation=organisation, now_us=now_us)
        if limit.subject:
            spent = [(limit.subject, dict(spent).get(limit.subject, 0))]
        found += [outlook_of(limit, subject=subject, used_nano=nano, now_us=now_us) for subject, nano in spent]
    return found


def _by_subject(connection: Connection, limit: Limit, *, organisation: str, now_us: int) -> list[tuple[str, int]]:
    subjects: dict[str, Any] = {
        "organisation": calls.c.organisation,
        "team": calls.c.team,
        "user": calls.c.user_id,
        "key": calls.c.key,
    }
    subject = subjects[limit.scope]
    spent = func.coalesce(func.sum(calls.c.cost_nano), 0).label("spent")
    query = (
        select(subject, spent)
        .where(
            calls.c.organisation == organisation,
            calls.c.started_us >= start_of(limit.period, period_of(limit.period, now_us)[0]),
            WAS_LET_IN,
            subject != "",
        )
        .group_by(subject)
        .order_by(spent.desc(), subject)
    )
    if limit.model:
        query = query.where(calls.c.model == limit.model)
    query = query.where(subject == limit.subject) if limit.subject else query.limit(MOST_SUBJECTS)
    return [(row[0], int(row[1])) for row in connection.execute(query)]
