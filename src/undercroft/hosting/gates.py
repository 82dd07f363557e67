"""Whether a version does badly, judged by what it and the other one have done in the same time."""

from typing import Final

from undercroft.api.figures import Figures
from undercroft.hosting.types import Rollout

LATENCY_REQUESTS: Final = 100
"""Fewer answers say nothing about a 95th percentile."""
FLOOR_S: Final = 0.05
"""Answers that begin sooner than this are fast, whatever the other version does."""
QUANTILE: Final = 0.95
FEW: Final = 5
"""So many answers, more than half of them failed, are enough to see that nothing works."""
STUCK_SHARE: Final = 0.5


def judge(green: Figures, blue: Figures, rollout: Rollout, *, is_over: bool = True) -> str:
    """Why `green` is not to have traffic; empty when nothing speaks against it. Both are counts of the same time.

    How long answers take is looked at when a step `is_over`: a moment's noise is no reason.
    """
    if green.deaths:
        return f"{green.deaths} of its processes died"
    reason = _errors(green, blue, rollout) or _silence(green, blue, rollout)
    return reason or (_latency(green, blue, rollout) if is_over else "")


def _errors(green: Figures, blue: Figures, rollout: Rollout) -> str:
    if not green.failed:
        return ""
    rate, usual = green.failed / green.answered, blue.failed / blue.answered if blue.answered else 0.0
    nothing_works = green.answered >= FEW and rate > 0.5 and usual <= 0.5
    if nothing_works or (green.answered >= rollout.min_requests and rate > usual + rollout.max_error_rate):
        return (
            f"{green.failed} of its {green.answered} answers failed ({rate:.1%}; the other version: {usual:.1%}; "
            f"allowed are {rollout.max_error_rate:.1%} more)"
        )
    return ""


def _silence(green: Figures, blue: Figures, rollout: Rollout) -> str:
    """Requests that come and get no answer: none fails, so none is counted as failed."""
    if green.begun < rollout.min_requests:
        return ""
    silent = 1 - green.answered / green.begun
    usual = 1 - min(blue.answered / blue.begun, 1.0) if blue.begun else 0.0
    if silent > STUCK_SHARE and silent > 2 * usual:
        return f"{green.begun - green.answered} of its {green.begun} requests have no answer yet"
    return ""


def _latency(green: Figures, blue: Figures, rollout: Rollout) -> str:
    if min(green.answered, blue.answered) < LATENCY_REQUESTS:
        return ""
    took, usual = green.quantile_s(QUANTILE), blue.quantile_s(QUANTILE)
    if took > rollout.max_latency_factor * max(usual, FLOOR_S):
        return (
            f"its answers take too long to begin: {took * 1000:.0f} ms at the 95th percentile, the other version's "
            f"{usual * 1000:.0f} ms"
        )
    return ""
