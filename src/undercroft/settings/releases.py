"""`[releases]`: where versions stand as files, and how candidates are brought out unless a command says otherwise."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from undercroft.settings.section import Count, Seconds, Section, Text, Usd

Share = Annotated[float, Field(ge=0, le=1)]
Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ReleaseGates(Section):
    """How many points more of a candidate's calls may be bad, as a share of calls, before it is rolled back."""

    errors: Share | None = 0.01
    """Calls that failed."""
    latency: Share | None = 0.05
    """Calls slower than (1 + `tolerance`) times the stable release's 90th percentile."""
    first_token: Share | None = 0.05
    """The same for the time to the first token of streams."""
    cost: Share | None = 0.05
    """The same for what a call costs."""
    refusals: Share | None = 0.02
    """Calls that the model, or its provider's filter, refused to answer."""
    feedback: Share | None = 0.05
    """Answers that users gave a score below 0.5."""
    evaluation: Share | None = 0.05
    """Answers that an online evaluation gave a score below 0.5."""
    tolerance: Tolerance = 0.25
    """What is added to a 90th percentile before a call counts as slow or dear."""


class OnlineEvaluation(Section):
    """Checks that a share of an alias's live answers must pass; what they say is the gate `evaluation`."""

    alias: Text
    """The model name that callers ask for."""
    checks: Path
    """A file (YAML or JSON) with a list of checks, as suites have them."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Of the answers of each release."""


class Releases(Section):
    """Versions of models and prompts, and how a new release replaces another."""

    folder: Path = Path("undercroft.d")
    """Versions as files, for `undercroft prompts sync`."""
    sticky: Literal["user", "conversation"] = "user"
    """Who stays with one release during a rollout."""
    steps: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.05, 0.25, 0.5)
    """Shares of users who see the candidate of a canary, one after the other, before it is promoted."""
    bake_s: Seconds = 600.0
    """How long each step lasts at least."""
    least_calls: Count = 100
    """Calls that the candidate must have answered in a step before the next one."""
    false_alarm: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Probability of rolling back a candidate that is no worse, over a whole rollout."""
    check_interval_s: Seconds = 1.0
    """How often gates are looked at."""
    gates: ReleaseGates = ReleaseGates.model_construct()
    online: tuple[OnlineEvaluation, ...] = ()
    """Which aliases are evaluated while they answer; none unless they are named here."""
    online_max_cost: Usd = "1.00"
    """USD that online evaluation may spend on models a UTC day, over all aliases and processes."""
