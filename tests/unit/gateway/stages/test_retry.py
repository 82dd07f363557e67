"""When to try again, and how often at most."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.gateway import ROLE, Bench, Prompter, said
from tests.support.moving import moving, outcome, text
from undercroft.errors import (
    NoDeployment,
    UndercroftError,
    UpstreamError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.gateway.call import Call
from undercroft.gateway.policy import USUAL, WAIT_BEFORE_FALLBACK_S, Policy
from undercroft.gateway.stages.retry import Retry, after_failure, tries_of
from undercroft.llm.reply import Reply


def wait(
    error: UpstreamError,
    *,
    attempt: int = 1,
    policy: Policy = USUAL,
    has_others: bool = False,
    jitter: float = 0.5,
    remaining_s: float = 60.0,
) -> float | None:
    return after_failure(
        error, attempt=attempt, policy=policy, has_others=has_others, jitter=jitter, remaining_s=remaining_s
    )


@given(st.integers(1, 2), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 30))
def test_a_wait_is_never_below_retry_after_and_always_fits(
    attempt: int, jitter: float, retry_after_s: float | None
) -> None:
    error = UpstreamOverloaded("busy", retry_after_s=retry_after_s)
    wait_s = wait(error, attempt=attempt, jitter=jitter, remaining_s=31)
    assert wait_s is not None
    assert (retry_after_s or 0) <= wait_s < 31


@pytest.mark.parametrize(("attempt", "remaining_s", "retry_after_s"), [(3, 60, 0), (1, 1, 2)])
def test_it_gives_up_when_tries_or_time_are_used_up(attempt: int, remaining_s: float, retry_after_s: float) -> None:
    error = UpstreamOverloaded("busy", retry_after_s=retry_after_s)
    assert wait(error, attempt=attempt, remaining_s=remaining_s) is None


def test_it_gives_up_on_what_another_try_cannot_mend() -> None:
    assert wait(UpstreamRefused("no", upstream_status=400)) is None
    assert wait(UpstreamRefused("too long", upstream_status=400, code="context_length_exceeded")) is None


def test_a_silent_deployment_is_not_asked_again() -> None:
    silence = UpstreamTimedOut("silent")
    assert wait(silence) is None
    assert wait(silence, has_others=True) == 0
    assert wait(UpstreamTimedOut("it says so itself", upstream_status=504)) is not None


def test_a_deployment_that_has_not_failed_yet_is_asked_at_once_whatever_the_other_wants_to_wait() -> None:
    assert wait(UpstreamOverloaded("busy", retry_after_s=40), has_others=True) == 0


def test_a_connection_that_broke_is_made_again_at_once_the_first_time() -> None:
    assert wait(UpstreamUnreachable("reset"), attempt=1) == 0
    assert wait(UpstreamUnreachable("reset"), attempt=2) == 0.25


def test_a_long_retry_after_is_not_waited_for_where_a_fallback_can_answer() -> None:
    policy = Policy(fallbacks=("other",))
    assert wait(UpstreamOverloaded("busy", retry_after_s=2), policy=policy) == 2
    assert wait(UpstreamOverloaded("busy", retry_after_s=WAIT_BEFORE_FALLBACK_S + 1), policy=policy) is None


def test_what_the_provider_says_of_trying_again_is_believed() -> None:
    stop, again = UpstreamOverloaded("busy"), UpstreamRefused("not yet", upstream_status=400)
    stop.retryable, again.retryable = False, True
    assert wait(stop) is None
    assert wait(stop, has_others=True) == 0
    assert wait(again) is not None


@pytest.mark.parametrize(
    ("tries", "fallbacks", "here"), [(3, 0, 3), (3, 1, 3), (3, 2, 2), (3, 3, 1), (1, 1, 1), (4, 0, 4), (4, 3, 1)]
)
def test_each_fallback_keeps_an_attempt(tries: int, fallbacks: int, here: int) -> None:
    names = tuple(f"other-{number}" for number in range(fallbacks))
    assert tries_of(Policy(tries=tries, fallbacks=names)) == here


def test_a_stream_that_breaks_before_its_first_word_is_asked_for_again_unseen() -> None:
    broken = Prompter([ROLE, ROLE, UpstreamGarbled("cut")])
    bench = Bench(broken, Prompter([ROLE, *said("Hello")]))
    assert text(bench) == "Hello"
    assert broken.closed == 1
    (ended,) = bench.recorder.ended
    assert (ended.status, ended.attempts, ended.deployment) == (200, 2, "chat/1")
    assert bench.gauge.active == 0


def test_a_call_that_left_itself_no_deployment_says_which_failure_of_its_own_did_it() -> None:
    bench = Bench(Prompter([]))

    async def refused(*errors: UndercroftError) -> NoDeployment:
        call, left = bench.call(), iter(errors)
        call.trail.found, (call.trail.deployment,) = bench.model, bench.model.deployments

        async def proceed(_: Call, /) -> Reply:
            raise next(left)

        retry = Retry(clock=bench.clock, rng=bench.rng)
        with pytest.raises(NoDeployment) as caught:
            await moving(bench, asyncio.create_task(retry(call, proceed)))
        return caught.value

    own = UpstreamGarbled("?")
    assert asyncio.run(refused(own, NoDeployment("open"))).__cause__ is own
    assert asyncio.run(refused(NoDeployment("open"))).__cause__ is None


def test_an_outage_of_one_deployment_adds_at_most_a_tenth_of_the_calls() -> None:
    provider = Prompter([UpstreamOverloaded("busy")])
    bench = Bench(provider)

    async def scene() -> None:
        for _ in range(1000):
            await moving(bench, asyncio.create_task(outcome(bench)), seconds=0.002)

    asyncio.run(scene())
    assert len(provider.asked) <= 1000 * 1.1 + 10
    assert len(provider.asked) > 1000
