"""How the promises of `[slo]` stand, counted from the ledger: the same calls that were booked, no sample of them."""

from typing import Final, Literal

import msgspec
from sqlalchemy import Connection, case, func, select

from undercroft.ledger.usage import DAY_US
from undercroft.money import format_usd, parse_usd
from undercroft.settings.slo import Slo
from undercroft.storage.schema import calls

FIRST_FAULT_STATUS: Final = 500
US_PER_S: Final = 1_000_000


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """A share of calls that was to be good, and is."""

    name: Literal["availability", "latency", "first_token"]
    target: float
    threshold_s: float | None
    calls: int
    """That it is about, in the window."""
    bad: int
    share: float | None
    """Of good ones; null: there were none."""
    budget_left: float | None
    """1: nothing was bad; 0: as much as was allowed; below: the promise is broken. null: there were no calls."""
    burn_rate: float | None
    """How many times faster than allowed the budget was used in the last hour; null: there were no calls."""


class CostObjective(msgspec.Struct, frozen=True, kw_only=True):
    """What a call was to cost on average, and does."""

    target_usd: str
    calls: int
    average_usd: str | None
    budget_left: float | None


class Objectives(msgspec.Struct, frozen=True, kw_only=True):
    """All promises."""

    window_days: int
    objectives: list[Objective]
    cost_per_request: CostObjective | None
    """null: nothing is promised."""


class Counts(msgspec.Struct, frozen=True):
    """Calls in some time."""

    all: int
    faulty: int
    slow: int
    begun: int
    """That had a first token."""
    late: int
    cost_nano: int


def counts(connection: Connection, slo: Slo, *, organisation: str, since_us: int, until_us: int) -> Counts:
    """Counted by the database."""
    began = calls.c.first_token_us
    query = select(
        func.count(),
        func.count(case((calls.c.status >= FIRST_FAULT_STATUS, 1))),
        func.count(case((calls.c.duration_us > round(slo.latency_s * US_PER_S), 1))),
        func.count(case((began > 0, 1))),
        func.count(case((began > round(slo.first_token_s * US_PER_S), 1))),
        func.coalesce(func.sum(calls.c.cost_nano), 0),
    ).where(calls.c.organisation == organisation, calls.c.started_us >= since_us, calls.c.started_us < until_us)
    return Counts(*(int(value) for value in connection.execute(query).one()))


def objectives(connection: Connection, slo: Slo, *, organisation: str, now_us: int) -> Objectives:
    """The window that ends now, and the last hour for the pace."""
    whole = counts(
        connection, slo, organisation=organisation, since_us=now_us - slo.window_days * DAY_US, until_us=now_us
    )
    hour = counts(connection, slo, organisation=organisation, since_us=now_us - DAY_US // 24, until_us=now_us)
    return judged(slo, whole, hour)


def judged(slo: Slo, whole: Counts, hour: Counts) -> Objectives:
    """What the counts say of the promises."""
    return Objectives(
        window_days=slo.window_days,
        objectives=[
            _share("availability", slo.availability, None, (whole.all, whole.faulty), (hour.all, hour.faulty)),
            _share("latency", slo.latency, slo.latency_s, (whole.all, whole.slow), (hour.all, hour.slow)),
            _share(
                "first_token", slo.first_token, slo.first_token_s, (whole.begun, whole.late), (hour.begun, hour.late)
            ),
        ],
        cost_per_request=None if slo.cost_per_request is None else _cost(slo.cost_per_request, whole),
    )


def _share(
    name: Literal["availability", "latency", "first_token"],
    target: float,
    threshold_s: float | None,
    whole: tuple[int, int],
    hour: tuple[int, int],
) -> Objective:
    def used(counted: tuple[int, int]) -> float | None:
        all_calls, bad = counted
        return bad / all_calls / (1 - target) if all_calls else None

    spent, pace = used(whole), used(hour)
    return Objective(
        name=name,
        target=target,
        threshold_s=threshold_s,
        calls=whole[0],
        bad=whole[1],
        share=round(1 - whole[1] / whole[0], 9) if whole[0] else None,
        budget_left=None if spent is None else round(1 - spent, 6),
        burn_rate=None if pace is None else round(pace, 6),
    )


def _cost(target_usd: str, whole: Counts) -> CostObjective:
    target_nano = parse_usd(target_usd)
    if not whole.all:
        return CostObjective(target_usd=target_usd, calls=0, average_usd=None, budget_left=None)
    left = 1 - whole.cost_nano / (target_nano * whole.all) if target_nano else None
    average = format_usd((whole.cost_nano + whole.all // 2) // whole.all)
    return CostObjective(
        target_usd=target_usd,
        calls=whole.all,
        average_usd=average,
        budget_left=None if left is None else round(left, 6),
    )
