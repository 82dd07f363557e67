"""`[slo]`: what was promised, from which error budgets, alerts and dashboards are made."""

from typing import Annotated, Final

from pydantic import Field

from undercroft.settings.section import Section

LATENCY_STEPS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
"""Between these, latencies are told apart in the metrics; so a promise has to stand on one of them."""


Share = Annotated[float, Field(gt=0, lt=1)]
Step = Annotated[float, Field(gt=0)]


class Slo(Section):
    """Service level objectives: what callers are promised, over a window that moves along."""

    window_days: Annotated[int, Field(ge=1, le=90)] = 28
    """Length of the window."""
    availability: Share = 0.999
    """Share of the calls that do not fail by our or a provider's fault (status 500 and above)."""
    latency_s: Step = 60.0
    """A call that takes longer is slow; one of 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300,
    600."""
    latency: Share = 0.95
    """Share of the calls that are not slow."""
    first_token_s: Step = 10.0
    """An answer that begins later is slow to begin; the same steps as `latency_s`."""
    first_token: Share = 0.95
    """Share of the answers that begin in time."""
    cost_per_request: Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$", examples=["0.05"])] | None = None
    """USD that a call may cost on average; default: nothing is promised."""
