"""Which of two is better: case by case, so that hard cases are hard for both."""

import random
from collections.abc import Mapping
from statistics import fmean
from typing import Final, Literal

import msgspec

from undercroft.evaluation.statistics import (
    Interval,
    bootstrap,
    cases_needed,
    deviation_of,
    mcnemar,
    wilson,
)
from undercroft.evaluation.types import Run

Verdict = Literal["better", "worse", "cannot tell"]
SEED: Final = 20_260_101
"""Intervals are the same each time the same results are looked at."""
EFFECT: Final = 0.05
"""A difference in pass rate that is worth knowing: five points."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run in numbers. Rates and scores in [0, 1], times in ms, money in nano-dollars."""

    suite: str
    model: str
    cases: int
    trials: int
    passed: int
    rate: Interval
    score: Interval
    latency_ms: Interval
    cost_nano: int
    """Of all answers, as asked for once, whether out of the cache or not."""
    spent_nano: int
    errors: int
    left_out: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A second run against a first, over the cases that both have."""

    verdict: Verdict
    difference: Interval
    """Of the pass rate, second less first."""
    p_value: float | None
    """McNemar's, where every case was asked once; else the interval alone decides."""
    cases: int
    only_first: int
    """Cases that only the first has passed."""
    only_second: int
    more_cases: int
    """How many more would show a difference of `effect`; 0 where one was shown."""
    effect: float

    @property
    def told(self) -> str:
        """In a sentence."""
        change = f"{self.difference.value:+.1%} ({self.difference.low:+.1%} to {self.difference.high:+.1%})"
        if self.verdict == "cannot tell":
            return (
                f"cannot tell: {change} over {self.cases} cases; need {self.more_cases} more cases to see a difference "
                f"of {self.effect:.0%}"
            )
        return f"{self.verdict}: {change} over {self.cases} cases"


def rates_of(run: Run) -> dict[str, float]:
    """How often each case was passed, of its repeats."""
    passed: dict[str, list[float]] = {}
    for trial in run.trials:
        passed.setdefault(trial.case, []).append(float(trial.passed))
    return {case: fmean(each) for case, each in passed.items()}


def summary_of(run: Run, *, confidence: float = 0.95) -> Summary:
    """A run in numbers. Raises ValueError where nothing was asked."""
    rng, rates = random.Random(SEED), rates_of(run)  # noqa: S311 - resampling
    scores: dict[str, list[float]] = {}
    for trial in run.trials:
        scores.setdefault(trial.case, []).append(trial.score)
    answered = [trial.answer for trial in run.trials if not trial.answer.error]
    is_single = len(run.trials) == len(rates)
    passed = sum(trial.passed for trial in run.trials)
    times = [answer.latency_ms for answer in answered] or [0.0]
    return Summary(
        suite=run.suite,
        model=run.model,
        cases=len(rates),
        trials=len(run.trials),
        passed=passed,
        # Repeats of one case are no independent cases: then whole cases are resampled.
        rate=wilson(passed, len(run.trials), confidence=confidence)
        if is_single
        else bootstrap(list(rates.values()), rng=rng, confidence=confidence),
        score=bootstrap([fmean(each) for each in scores.values()], rng=rng, confidence=confidence),
        latency_ms=bootstrap(times, rng=rng, confidence=confidence),
        cost_nano=sum(answer.cost_nano for answer in answered),
        spent_nano=run.spent_nano,
        errors=len(run.trials) - len(answered),
        left_out=run.left_out,
    )


def compare(first: Run, second: Run, *, confidence: float = 0.95, effect: float = EFFECT) -> Comparison:
    """Whether the second is better, by the cases that both have. Raises ValueError without any."""
    before, after = rates_of(first), rates_of(second)
    shared = sorted(before.keys() & after.keys())
    if not shared:
        raise ValueError("the two runs have no case in common")
    differences = [after[case] - before[case] for case in shared]
    interval = bootstrap(differences, rng=random.Random(SEED), confidence=confidence)  # noqa: S311 - resampling
    only_first, only_second = (_only(before, after, shared), _only(after, before, shared))
    is_single = all(rate in (0.0, 1.0) for case in shared for rate in (before[case], after[case]))
    p_value = mcnemar(only_first, only_second) if is_single else None
    verdict: Verdict = "cannot tell"
    if p_value is None or p_value < 1 - confidence:
        if interval.low > 0:
            verdict = "better"
        elif interval.high < 0:
            verdict = "worse"
    needed = cases_needed(deviation_of(differences), effect, confidence=confidence)
    return Comparison(
        verdict=verdict,
        difference=interval,
        p_value=p_value,
        cases=len(shared),
        only_first=only_first,
        only_second=only_second,
        more_cases=max(1, needed - len(shared)) if verdict == "cannot tell" else 0,
        effect=effect,
    )


def _only(one: Mapping[str, float], other: Mapping[str, float], cases: list[str]) -> int:
    """Cases that one has passed and the other has not: more often than not, where they were repeated."""
    return sum(one[case] >= 0.5 > other[case] for case in cases)
