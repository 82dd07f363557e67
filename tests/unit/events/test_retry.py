"""Attempts are spread over days, end, and never come sooner than the receiver asked for."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.events.retry import FUNCTION, LONGEST_WAIT_S, STREAM, WEBHOOK, Patience, next_delay_s

DAY_S = 86_400.0


def delays(patience: Patience, *, seed: int = 0, retry_after_s: float | None = None) -> list[float]:
    rng = random.Random(seed)
    found = []
    for attempts in range(1, 100):
        delay_s = next_delay_s(patience, attempts, retry_after_s=retry_after_s, rng=rng)
        if delay_s is None:
            break
        found.append(delay_s)
    return found


@given(st.integers())
def test_a_webhook_is_tried_over_days_with_growing_pauses_and_then_given_up(seed: int) -> None:
    found = delays(WEBHOOK, seed=seed)
    assert len(found) == 10
    assert 2.5 * DAY_S < sum(found) < 3.8 * DAY_S
    for delay_s, usual_s in zip(found, WEBHOOK.delays_s, strict=True):
        assert 0.8 * usual_s <= delay_s <= 1.2 * usual_s


def test_pauses_differ_so_that_receivers_are_not_hit_by_all_at_once() -> None:
    assert len({delays(WEBHOOK, seed=seed)[0] for seed in range(20)}) == 20


@given(st.integers(), st.floats(0, 1e9))
def test_what_the_receiver_asks_for_is_the_least_up_to_a_day(seed: int, asked_s: float) -> None:
    assert min(delays(WEBHOOK, seed=seed, retry_after_s=asked_s)) >= min(asked_s, LONGEST_WAIT_S)


def test_the_stream_is_never_given_up_and_a_function_is_within_hours() -> None:
    assert len(delays(STREAM)) == 99
    assert max(delays(STREAM)) <= 6
    assert sum(delays(FUNCTION)) < 2 * 3600


@pytest.mark.parametrize("patience", [WEBHOOK, FUNCTION, STREAM])
def test_pauses_never_shrink(patience: Patience) -> None:
    assert list(patience.delays_s) == sorted(patience.delays_s)
