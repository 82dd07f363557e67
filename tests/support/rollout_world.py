"""Rollouts on virtual time: users who ask, two releases that answer, and the product's own decisions once a second."""

from dataclasses import dataclass, field

import numpy as np

from undercroft.releases.decide import Next, after, decide
from undercroft.releases.gates import Observed, Tally, limits_of
from undercroft.releases.traffic import place
from undercroft.releases.types import GateName, MoveName, Plan, Rollout, Step, Thresholds

SECOND_US = 1_000_000
STEPS = tuple(Step(share=share, bake_s=60) for share in (0.05, 0.25, 0.5))
PLAN = Plan(steps=STEPS, least_calls=100)


@dataclass(frozen=True)
class Behaviour:
    """How a release answers. Times and costs are lognormal with this median."""

    failing: float = 0.002
    latency_us: float = 800_000
    cost_nano: float = 300_000
    spread: float = 0.5


STABLE = Behaviour()


@dataclass
class Outcome:
    """How a simulated rollout ended."""

    move: MoveName
    reason: str
    seconds: int
    affected: float
    """Share of all users who were answered by the candidate at least once."""


@dataclass
class World:
    """One seeded rollout."""

    candidate: Behaviour
    seed: int
    users: int = 2000
    per_second: int = 100
    plan: Plan = PLAN
    history: int = 1000
    rollout: Rollout = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        salt = f"rollout_{self.seed}"
        self.places = np.array([place(salt.encode(), str(user).encode()) for user in range(self.users)])
        self.now_us = 1_000_000_000
        self.rollout = Rollout(
            organisation="default",
            id=salt,
            alias="chat",
            stable="rel_old",
            candidate="rel_new",
            plan=self.plan,
            step_us=self.now_us,
            thresholds=self._thresholds(),
        )
        self.seen = np.zeros(self.users, dtype=bool)
        self._start_step()

    def _thresholds(self) -> Thresholds:
        """As the controller finds them: 90th percentiles of what the stable release did before."""
        _, latency, cost = self._answers(STABLE, self.history)
        at = int(self.history * 0.9)
        found: dict[GateName, int] = {"latency": int(np.sort(latency)[at]), "cost": int(np.sort(cost)[at])}
        limits = limits_of(self.plan, found)
        return Thresholds(latency=limits["latency"], cost=limits["cost"], since_us=self.now_us)

    def _answers(self, behaviour: Behaviour, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        failed = self.random.random(count) < behaviour.failing
        latency = behaviour.latency_us * np.exp(self.random.normal(0, behaviour.spread, count))
        cost = behaviour.cost_nano * np.exp(self.random.normal(0, behaviour.spread, count))
        return failed, latency, cost

    def _start_step(self) -> None:
        self.stable: dict[GateName, Tally] = {}
        self.tested: dict[GateName, Tally] = {}

    def run(self, within_s: int = 3600) -> Outcome:
        for second in range(1, within_s):
            self._second()
            observed = Observed(
                calls=self.tested.get("errors", Tally()).total, stable=self.stable, candidate=self.tested
            )
            step = decide(self.rollout, observed, now_us=self.now_us)
            if step is not None and self._moved(step):
                return Outcome(step.move, step.reason, second, float(self.seen.mean()))
        return Outcome("paused", "out of time", within_s, float(self.seen.mean()))

    def _moved(self, step: Next) -> bool:
        self.rollout = after(self.rollout, step.move, reason=step.reason, now_us=self.now_us)
        self._start_step()
        return not self.rollout.is_open

    def _second(self) -> None:
        self.now_us += SECOND_US
        asking = self.random.integers(0, self.users, self.per_second)
        sees_new = self.places[asking] < self.rollout.now.share
        self.seen[asking[sees_new]] = True
        new = int(sees_new.sum())
        self.tested = self._counted(self.tested, self.candidate, new)
        self.stable = self._counted(self.stable, STABLE, self.per_second - new)

    def _counted(self, before: dict[GateName, Tally], behaviour: Behaviour, count: int) -> dict[GateName, Tally]:
        failed, latency, cost = self._answers(behaviour, count)
        limits, well = self.rollout.thresholds, ~failed
        answered = int(well.sum())
        counts: dict[GateName, tuple[int, int]] = {
            "errors": (int(failed.sum()), count),
            "latency": (int((latency[well] > limits.latency).sum()), answered),
            "cost": (int((cost[well] > limits.cost).sum()), answered),
        }
        return {
            gate: Tally(before.get(gate, Tally()).bad + bad, before.get(gate, Tally()).total + total)
            for gate, (bad, total) in counts.items()
        }
