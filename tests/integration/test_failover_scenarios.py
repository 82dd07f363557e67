"""Sixteen ways a provider fails, as its callers and it itself experience the gateway in between.

The faults and what counts as right follow the published catalogue of Failover Bench (methodology 0.1): every call
ends in time, no truncated answer is passed off as a whole one, attempts are bounded, and but for S13 the caller gets
the complete answer. Times are scaled down; the budget is its own: two retries and one fallback.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.background import upstream_in_background
from tests.support.faults import TEXT, Faults, answering, configured
from tests.support.server import Server
from tests.support.streams import Told, told
from tests.support.upstream import Upstream

FALLBACK = 'fallbacks = ["well"]\non_cut = "continue"\nfirst_token_timeout_s = 1.0\nbetween_chunks_timeout_s = 1.0'
OUTAGE_MS = 4000
SEQUENCE, EVERY_S = 20, 0.5


@dataclass(frozen=True)
class Seen:
    """One scenario from both sides."""

    answer: Told
    took_s: float
    primary: int
    """Attempts that reached the model asked for."""
    fallback: int
    gaps_s: list[float]


@dataclass(frozen=True)
class Scenario:
    """`model` is the fault; `holds` what must be true besides the outcome."""

    id: str
    model: str
    holds: Callable[[Seen], bool]
    is_error: bool = False
    """The right outcome is a clean error."""
    most_s: float = 20.0
    lines: str = FALLBACK


SCENARIOS = [
    Scenario("S01", "busy-0-times-1", lambda seen: seen.primary == 2 and seen.gaps_s[0] >= 1.8),
    Scenario("S02", "busy", lambda seen: 1 <= seen.primary <= 4 and seen.fallback == 1),
    Scenario("S03", "status-500-times-1", lambda seen: seen.primary == 2 and seen.fallback == 0),
    Scenario("S04", "status-503", lambda seen: seen.primary <= 4 and seen.fallback == 1),
    Scenario("S05", "reset-times-1", lambda seen: seen.primary == 2),
    Scenario("S06", "silent", lambda seen: seen.primary == 1 and seen.fallback == 1, most_s=12.0),
    Scenario("S07", "slow-first-token", lambda seen: seen.primary == 1 and seen.fallback == 1, most_s=15.0),
    Scenario("S08", "cut-after-9", lambda seen: seen.primary + seen.fallback == 2),
    Scenario("S09", "stall-after-5", lambda seen: seen.primary == 1 and seen.fallback == 1),
    Scenario("S10", "malformed-at-6", lambda seen: seen.primary + seen.fallback <= 3),
    Scenario("S11", "no-done", lambda seen: seen.primary == 1 and seen.answer.usage is not None, most_s=8.0),
    Scenario(
        "S12",
        "context",
        lambda seen: seen.primary == 1 and seen.fallback == 1,
        lines=f'{FALLBACK}\nfallbacks_on_context = ["well"]',
    ),
    Scenario(
        "S13",
        "policy",
        lambda seen: seen.primary == 1 and seen.fallback == 0 and "rejected" in seen.answer.answer.error["message"],
        is_error=True,
    ),
    Scenario(
        "S14",
        "cut-after-8",
        lambda seen: seen.primary == 2 and seen.fallback == 0,
        lines=FALLBACK.replace('"well"', '"no-prefill"'),
    ),
    Scenario(
        "S16",
        "status-502",
        lambda seen: (
            seen.answer.answer.headers["x-undercroft-model"] == "well"
            and seen.answer.ids == {("chatcmpl-1", "fake-1")}
            and seen.answer.usage is not None
        ),
    ),
]
FLAP = f"flap-{OUTAGE_MS}"


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def upstream(faults: Faults) -> Iterator[Upstream]:
    with upstream_in_background() as running:
        running.otherwise = faults.answer
        yield running


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = {"well": "", "no-prefill": "", FLAP: FALLBACK}
    models |= {scenario.model: scenario.lines for scenario in SCENARIOS}
    with answering(tmp_path_factory.mktemp("scenarios"), configured(upstream.base_url, models)) as running:
        yield running


def play(server: Server, faults: Faults, model: str, user: str) -> Seen:
    begun = time.monotonic()
    answer = told(server.chat(model=model, user=user, stream=True, stream_options={"include_usage": True}))
    took_s = time.monotonic() - begun
    fallback = faults.asked("well", user) + faults.asked("no-prefill", user)
    return Seen(answer, took_s, faults.asked(model, user), fallback, faults.gaps_s(model, user))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_the_caller_gets_what_is_right_and_the_provider_no_more_than_it_should(
    server: Server, faults: Faults, scenario: Scenario
) -> None:
    seen = play(server, faults, scenario.model, scenario.id)
    outcome = "error" if seen.answer.answer.status != 200 else "whole" if seen.answer.is_whole else "broken"
    print(f"{scenario.id}: {outcome} after {seen.took_s:.2f} s, {seen.primary} + {seen.fallback} attempts")
    if scenario.is_error:
        assert outcome == "error", seen
    else:
        assert (outcome, seen.answer.text) == ("whole", TEXT), seen
    assert seen.took_s < scenario.most_s
    assert scenario.holds(seen), seen
    assert play(server, faults, "well", "alive").answer.is_whole


def test_s14_where_nobody_goes_on_the_refusal_does_not_hide_the_cut(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """S14 with a primary that stays broken: the prefill is refused, and the cut is what is told."""
    lines = f"{FALLBACK.replace('well', 'no-prefill')}\ntries = 1"
    models = {"no-prefill": "", "stall-after-3": lines}
    with answering(tmp_path_factory.mktemp("s14"), configured(upstream.base_url, models)) as server:
        answer = told(server.chat(model="stall-after-3", user="s14", stream=True))
    assert answer.is_told_broken
    assert "prefill" not in answer.answer.body.decode()


def test_s15_a_provider_that_comes_back_is_used_again(server: Server, faults: Faults) -> None:
    """S15: twenty calls over an outage and its end; all are answered, the primary again soon after it is well."""
    faults.began = time.monotonic()
    answers: list[tuple[float, Told]] = []

    def call(number: int) -> None:
        at_s = time.monotonic() - faults.began
        answers.append((at_s, told(server.chat(model=FLAP, user=f"flap-{number}", stream=True))))

    threads = []
    for number in range(SEQUENCE):
        threads.append(threading.Thread(target=call, args=(number,)))
        threads[-1].start()
        time.sleep(EVERY_S)
    for thread in threads:
        thread.join(60)
    assert len(answers) == SEQUENCE
    assert all(answer.is_whole and answer.text == TEXT for _, answer in answers)
    by_primary = [at_s for at_s, answer in answers if "x-undercroft-model" not in answer.answer.headers]
    during = sum(faults.asked(FLAP, f"flap-{number}") for number in range(SEQUENCE))
    print(f"the primary answered again {min(by_primary) - OUTAGE_MS / 1000:.2f} s after the outage; {during} attempts")
    assert min(by_primary) < OUTAGE_MS / 1000 * 1.5 + 3
    assert during <= 4 * SEQUENCE
