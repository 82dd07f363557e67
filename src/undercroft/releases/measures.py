"""What the ledger says of two releases: bad calls and all calls, counted by the database."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, select

from undercroft.releases.gates import Observed, Tally
from undercroft.releases.types import ASIDE, SHADOW, GateName, Rollout, Thresholds
from undercroft.storage.schema import calls, feedback

HISTORY_US: Final = 7 * 86_400_000_000
HISTORY_CALLS: Final = 1000
LEAST_HISTORY: Final = 50
"""Calls without which a percentile says too little."""
PERCENTILE: Final = 0.9
BEFORE_SWITCH_US: Final = 3_600_000_000
"""Where everybody sees the candidate at once, it is compared with the hour before."""
NOT_ITS_FAULT: Final = (401, 403, 429, 499)
"""Of errors: who may call, how much, and whether the caller stayed are no matter of a release."""
BAD_SCORE: Final = 0.5


def observe(connection: Connection, rollout: Rollout) -> Observed:
    """What both releases have done since the present step began."""
    stable_since, candidate_since = _since(rollout)
    is_mirror = not rollout.now.share
    stable = _tallies(connection, rollout, rollout.stable, since_us=stable_since, is_shadow=False)
    candidate = _tallies(connection, rollout, rollout.candidate, since_us=candidate_since, is_shadow=is_mirror)
    return Observed(calls=candidate["errors"].total, stable=stable, candidate=candidate)


def _since(rollout: Rollout) -> tuple[int, int]:
    known = max(rollout.step_us, rollout.thresholds.since_us)
    if rollout.now.share >= 1:
        return rollout.step_us - BEFORE_SWITCH_US, known
    return known, known


def _tallies(
    connection: Connection, rollout: Rollout, release: str, *, since_us: int, is_shadow: bool
) -> dict[GateName, Tally]:
    own = and_(
        calls.c.organisation == rollout.organisation,
        calls.c.release == release,
        calls.c.started_us >= since_us,
        (calls.c.endpoint == SHADOW) if is_shadow else calls.c.endpoint.not_in(ASIDE),
    )
    row = connection.execute(select(*_counts(rollout.thresholds)).where(own)).one()
    found: dict[GateName, Tally] = {
        "errors": Tally(row.failed, row.failed + row.answered),
        "refusals": Tally(row.refused, row.answered),
        "latency": Tally(row.slow, row.answered if rollout.thresholds.latency else 0),
        "first_token": Tally(row.late, row.streamed if rollout.thresholds.first_token else 0),
        "cost": Tally(row.dear, row.priced if rollout.thresholds.cost else 0),
    }
    for each in connection.execute(_judged(own)):
        found["evaluation" if each.is_evaluation else "feedback"] = Tally(each.bad, each.total)
    return found


def _judged(own: ColumnElement[bool]) -> Any:
    """How many calls were found bad, by who says so: a call counts once, whatever is said of it how often."""
    by_evaluation = feedback.c.source == literal_column("'evaluation'")  # a parameter would not be the same twice
    each = (
        select(by_evaluation.label("is_evaluation"), func.avg(feedback.c.score).label("score"))
        .join_from(
            calls, feedback, and_(feedback.c.organisation == calls.c.organisation, feedback.c.call == calls.c.id)
        )
        .where(own, feedback.c.score.is_not(None))
        .group_by(calls.c.id, by_evaluation)
        .subquery()
    )
    counts = (_count(each.c.score < BAD_SCORE).label("bad"), func.count().label("total"))
    return select(each.c.is_evaluation, *counts).group_by(each.c.is_evaluation)


def _counts(thresholds: Thresholds) -> list[Any]:
    answered = calls.c.error == ""
    streamed = and_(answered, calls.c.first_token_us > 0, calls.c.streamed)
    priced = and_(answered, calls.c.price != "", calls.c.cache == "")
    failed = and_(calls.c.error != "", calls.c.status.not_in(NOT_ITS_FAULT))
    return [
        _count(answered).label("answered"),
        _count(failed).label("failed"),
        _count(and_(answered, calls.c.refused)).label("refused"),
        _count(streamed).label("streamed"),
        _count(priced).label("priced"),
        _count(and_(answered, calls.c.duration_us > (thresholds.latency or 0))).label("slow"),
        _count(and_(streamed, calls.c.first_token_us > (thresholds.first_token or 0))).label("late"),
        _count(and_(priced, calls.c.cost_nano > (thresholds.cost or 0))).label("dear"),
    ]


def quantiles(connection: Connection, rollout: Rollout, *, now_us: int) -> Mapping[GateName, int]:
    """90th percentiles of the stable release's last calls; a gate is missing where there are too few of them."""
    own = and_(
        calls.c.organisation == rollout.organisation,
        calls.c.release == rollout.stable,
        calls.c.started_us >= now_us - HISTORY_US,
        calls.c.error == "",
        calls.c.endpoint.not_in(ASIDE),
    )
    wanted: dict[GateName, tuple[Any, ColumnElement[bool]]] = {
        "latency": (calls.c.duration_us, own),
        "first_token": (calls.c.first_token_us, and_(own, calls.c.streamed, calls.c.first_token_us > 0)),
        "cost": (calls.c.cost_nano, and_(own, calls.c.price != "", calls.c.cache == "")),
    }
    found: dict[GateName, int] = {}
    for gate, (column, which) in wanted.items():
        newest = select(column).where(which).order_by(calls.c.started_us.desc()).limit(HISTORY_CALLS)
        values = sorted(connection.execute(newest).scalars())
        if len(values) >= LEAST_HISTORY:
            found[gate] = values[int(len(values) * PERCENTILE)]
    return found


def _count(condition: Any) -> Any:
    return func.count(case((condition, 1)))
