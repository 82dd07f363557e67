"""What an autoscaler decides, as a plain function of what it sees."""

import math
from collections import deque

from undercroft.planning.scenario import Autoscaler

TOLERANCE = 0.1
"""Kubernetes' own: the HorizontalPodAutoscaler leaves a ratio alone that is this close to 1."""


def wanted(scaler: Autoscaler, *, replicas: int, busy: float, queue: int, under_way: int) -> int:
    """Replicas that the policy asks for. `busy` is the share of slots at work, `replicas` those that take requests."""
    match scaler.policy:
        case "cpu":
            ratio = busy / scaler.target
            count = replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(replicas * ratio - 1e-9)
        case "queue":
            count = math.ceil(queue / scaler.target)
        case "concurrency":
            count = math.ceil(under_way / scaler.target)
        case _:
            return replicas
    return min(max(count, scaler.least), scaler.most)


class Patience:
    """Remembers what was wanted, so that a short lull does not stop replicas that are needed again at once."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._wanted: deque[tuple[float, int]] = deque()

    def decide(self, now: float, count: int, current: int) -> int:
        """Up at once, down to the most that was wanted lately."""
        while self._wanted and self._wanted[0][0] < now - self._patience_s:
            self._wanted.popleft()
        self._wanted.append((now, count))
        return count if count >= current else min(current, max(each for _, each in self._wanted))
