"""Which model answers where the one that was asked for cannot."""

import pytest

from tests.support.gateway import Bench, Prompter, said
from tests.support.moving import text
from undercroft.errors import (
    Unavailable,
    UndercroftError,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.gateway.course import Course
from undercroft.gateway.policy import MAX_ATTEMPTS, Policy
from undercroft.gateway.stages.fallback import candidates

TOO_LONG = UpstreamRefused("too long", upstream_status=400, code="context_length_exceeded")
FORBIDDEN = UpstreamRefused("forbidden", upstream_status=400, code="content_filter")
EVERYTHING = Policy(fallbacks=("a",), fallbacks_on_context=("b",), fallbacks_on_policy=("c",))


@pytest.mark.parametrize(
    ("way", "names"),
    [
        (Course.AGAIN, ("a",)),
        (Course.ELSEWHERE, ("a",)),
        (Course.LONGER_CONTEXT, ("b",)),
        (Course.OTHER_POLICY, ("c",)),
        (Course.NOWHERE, ()),
    ],
)
def test_each_kind_of_failure_has_its_own_list(way: Course, names: tuple[str, ...]) -> None:
    assert candidates(EVERYTHING, way) == names


@pytest.mark.parametrize(
    "error",
    [
        UpstreamOverloaded("busy"),
        UpstreamUnreachable("down"),
        UpstreamTimedOut("silent"),
        UpstreamRefused("our key", upstream_status=401),
        Unavailable("loading", code="model_loading"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_model_that_fails_for_good_is_stood_in_for(error: UndercroftError) -> None:
    other = Prompter(said("Hello"))
    bench = Bench(Prompter([error]), policy=Policy(fallbacks=("other",)), others={"other": other})
    assert text(bench) == "Hello"
    assert other.asked[0].model == "other"
    (ended,) = bench.recorder.ended
    assert (ended.model, ended.deployment, ended.status) == ("chat", "other/0", 200)
    assert bench.gauge.active == 0


def test_attempts_go_on_counting_and_never_pass_the_limit() -> None:
    failing = {name: Prompter([UpstreamOverloaded("busy")]) for name in ("a", "b")}
    first = Prompter([UpstreamOverloaded("busy")])
    bench = Bench(first, policy=Policy(fallbacks=("a", "b")), others=failing)
    with pytest.raises(UpstreamOverloaded):
        text(bench)
    asked = [len(each.asked) for each in (first, *failing.values())]
    assert asked == [2, 2, 0]
    assert sum(asked) == bench.recorder.ended[0].attempts == MAX_ATTEMPTS


def test_when_all_fail_the_first_failure_is_told() -> None:
    bench = Bench(
        Prompter([UpstreamOverloaded("the one that was asked for is busy")]),
        policy=Policy(tries=1, fallbacks=("other",)),
        others={"other": Prompter([UpstreamRefused("no such voice", upstream_status=400)])},
    )
    with pytest.raises(UpstreamOverloaded, match="asked for"):
        text(bench)


@pytest.mark.parametrize("error", [TOO_LONG, FORBIDDEN, UpstreamRefused("no such voice", upstream_status=400)])
def test_what_was_refused_is_not_carried_elsewhere_unasked(error: UndercroftError) -> None:
    other = Prompter(said("Hello"))
    bench = Bench(Prompter([error]), policy=Policy(fallbacks=("other",)), others={"other": other})
    with pytest.raises(UpstreamRefused):
        text(bench)
    assert other.asked == []


@pytest.mark.parametrize(
    ("error", "policy"),
    [(TOO_LONG, Policy(fallbacks_on_context=("other",))), (FORBIDDEN, Policy(fallbacks_on_policy=("other",)))],
)
def test_a_refusal_goes_where_the_operator_sends_it(error: UndercroftError, policy: Policy) -> None:
    first = Prompter([error])
    bench = Bench(first, policy=policy, others={"other": Prompter(said("Hello"))})
    assert text(bench) == "Hello"
    assert len(first.asked) == 1


def test_a_call_whose_time_is_up_is_not_carried_on() -> None:
    other = Prompter(said("Hello"))
    bench = Bench(
        Prompter([UpstreamOverloaded("busy", retry_after_s=3)]),
        policy=Policy(fallbacks=("other",)),
        others={"other": other},
    )
    bench.clock.advance(0)
    with pytest.raises(UpstreamOverloaded):
        text(bench, seconds=-1.0)
    assert other.asked == []
