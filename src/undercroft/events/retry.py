"""When somebody who could not be told is told again: a plain function of values."""

import random
from dataclasses import dataclass
from typing import Final

JITTER: Final = 0.2
LONGEST_WAIT_S: Final = 86_400.0
"""What a receiver may ask for with `Retry-After`."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The pause after each failed attempt; when they are used up, the last one repeats, or the event is given up."""

    delays_s: tuple[float, ...]
    is_endless: bool = False


WEBHOOK: Final = Patience((5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""Eleven attempts over three days."""
FUNCTION: Final = Patience((1, 5, 30, 120, 600, 3600))
STREAM: Final = Patience((0.5, 1, 2, 5), is_endless=True)


def next_delay_s(patience: Patience, attempts: int, *, retry_after_s: float | None, rng: random.Random) -> float | None:
    """Seconds until the next attempt, after `attempts` that failed; None: it is given up.

    The pause is spread by a fifth either way, and never shorter than what the receiver asked for (up to a day).
    """
    if attempts > len(patience.delays_s) and not patience.is_endless:
        return None
    usual = patience.delays_s[min(attempts, len(patience.delays_s)) - 1]
    spread = usual * rng.uniform(1 - JITTER, 1 + JITTER)
    return max(spread, min(retry_after_s or 0.0, LONGEST_WAIT_S))
