"""Whether a candidate is worse: one sequential test a gate, each on the share of calls that are bad."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from undercroft.releases.sequences import interval
from undercroft.releases.types import MEASURED, GateName, Plan

WORDS: Final[dict[GateName, str]] = {
    "errors": "failed",
    "latency": "were slower than the limit",
    "first_token": "took longer than the limit to their first token",
    "cost": "cost more than the limit",
    "refusals": "were refused by the model",
    "feedback": "were found bad by users",
    "evaluation": "failed the online evaluation",
}


class Tally(msgspec.Struct, frozen=True):
    """Bad calls among those that could be judged."""

    bad: int = 0
    total: int = 0

    @property
    def rate(self) -> float:
        """In [0, 1]; 0 where nothing was judged."""
        return self.bad / self.total if self.total else 0.0


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What both releases have done since a step began."""

    calls: int = 0
    """That the candidate has answered."""
    stable: dict[GateName, Tally] = {}
    candidate: dict[GateName, Tally] = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate says. Rates are shares of calls in [0, 1]."""

    gate: GateName
    breached: bool
    stable: tuple[float, float]
    """The interval of the stable release's rate."""
    candidate: tuple[float, float]
    margin: float
    counts: dict[str, int]

    @property
    def told(self) -> str:
        """In a sentence."""
        low, high = self.candidate[0], self.stable[1]
        return (
            f"{self.gate}: at least {low:.1%} of the candidate's calls {WORDS[self.gate]}, against at most {high:.1%} "
            f"before ({self.counts['candidate_bad']} of {self.counts['candidate_total']} and "
            f"{self.counts['stable_bad']} of {self.counts['stable_total']})"
        )

    def as_evidence(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def alpha_of(plan: Plan) -> float:
    """Of one interval: the whole rollout's, shared by Bonferroni over steps, gates and the two releases."""
    return plan.false_alarm / (len(plan.steps) * max(len(plan.gates), 1) * 2)


def verdicts(plan: Plan, observed: Observed) -> list[Verdict]:
    """Each gate about which there is something to say."""
    alpha = alpha_of(plan)
    return [
        verdict_of(gate, plan, observed, alpha=alpha)
        for gate in plan.gates
        if observed.candidate.get(gate, Tally()).total
    ]


def breach(plan: Plan, observed: Observed) -> Verdict | None:
    """The first gate that is breached. Nothing is worked out for gates whose observed rates do not even differ."""
    alpha = alpha_of(plan)
    for gate, terms in plan.gates.items():
        stable, candidate = observed.stable.get(gate, Tally()), observed.candidate.get(gate, Tally())
        if stable.total and candidate.rate > stable.rate + terms.margin:
            verdict = verdict_of(gate, plan, observed, alpha=alpha)
            if verdict.breached:
                return verdict
    return None


def verdict_of(gate: GateName, plan: Plan, observed: Observed, *, alpha: float) -> Verdict:
    """A gate is breached when the lowest rate that the candidate can have is over the highest that the stable release
    can have, by more than the margin."""
    stable, candidate = observed.stable.get(gate, Tally()), observed.candidate.get(gate, Tally())
    before, after = interval(stable.bad, stable.total, alpha), interval(candidate.bad, candidate.total, alpha)
    margin = plan.gates[gate].margin
    return Verdict(
        gate=gate,
        breached=stable.total > 0 and after[0] > before[1] + margin,
        stable=before,
        candidate=after,
        margin=margin,
        counts={
            "stable_bad": stable.bad,
            "stable_total": stable.total,
            "candidate_bad": candidate.bad,
            "candidate_total": candidate.total,
        },
    )


def limits_of(plan: Plan, quantiles: Mapping[GateName, int]) -> dict[GateName, int]:
    """From 90th percentiles of the stable release to what a call may take or cost."""
    return {
        gate: round(quantiles[gate] * (1 + plan.gates[gate].tolerance))
        for gate in sorted(MEASURED)
        if gate in plan.gates and gate in quantiles
    }
