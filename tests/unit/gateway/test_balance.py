"""How endpoints are chosen and remembered."""

import random
import threading
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from undercroft.gateway.balance import Balancer, LoadBalancer, Turn, View
from undercroft.gateway.breaker import NEVER, BreakerPolicy
from undercroft.gateway.state import BAD, FAILURES_BEFORE_REST, GOOD, SILENT, Ask, Nobody, Terms, Verdict
from undercroft.gateway.strategies import Strategy


class Told:
    """What a balancer has said about changes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, item: str, condition: str, why: str, seconds: float) -> None:
        self.lines.append(f"{item} {condition} {why} {seconds:g}")


class Scene:
    """A balancer over letters, on a clock moved by hand."""

    def __init__(self, names: str, strategy: Strategy = "round_robin", **terms: Terms) -> None:
        self.clock = ManualClock()
        self.told = Told()
        self.names = names
        self.balancer = Balancer(
            names,
            strategy,
            terms=[terms.get(name, Terms()) for name in names],
            breaker=NEVER if not names.isupper() else BreakerPolicy(failures=4, calls=8, rest_s=10.0),
            rng=random.Random(1),
            monotonic=self.clock.monotonic,
            on_change=self.told,
        )

    def take(self, ask: Ask = Ask()) -> Turn[str]:  # noqa: B008 - frozen
        turn = self.balancer.take(ask)
        assert isinstance(turn, Turn), turn
        return turn

    def chosen(self, count: int) -> set[str]:
        """Who takes the next calls, each over before the next begins."""
        names = set()
        for _ in range(count):
            turn = self.take()
            names.add(turn.item)
            self.balancer.finished(turn, SILENT)
        return names

    def end(self, name: str, verdict: Verdict = BAD, *, seconds: float | None = None) -> None:
        """A call to `name` has come and gone."""
        turn = self.take(Ask(fits=(self.names.index(name),)))
        if verdict is GOOD and seconds is not None:
            self.balancer.answered(turn, seconds, streamed=False)
        self.balancer.finished(turn, verdict, waited_s=seconds)


def test_round_robin_takes_turns() -> None:
    balancer = LoadBalancer(["a", "b", "c"])
    assert [balancer.get_endpoint() for _ in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]


def test_an_empty_list_is_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="at least one"):
        LoadBalancer([])


@pytest.mark.parametrize(
    ("endpoints", "options", "said"),
    [
        (["a", "a"], {}, "listed twice"),
        ("http://a", {}, "not one string"),
        (["a"], {"strategy": "best"}, "round_robin, weighted, least_busy, fastest"),
        (["a", "b"], {"strategy": "weighted", "weights": [1]}, "weight"),
        (["a", "b"], {"strategy": "weighted", "weights": [1, 0]}, "weight"),
        (["a", "b"], {"strategy": "weighted", "weights": []}, "weight"),
    ],
)
def test_nonsense_is_refused_at_construction(endpoints: list[str], options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LoadBalancer(endpoints, **options)  # type: ignore[arg-type]  # nonsense on purpose


@pytest.mark.parametrize("strategy", ["round_robin", "weighted", "least_busy", "fastest"])
def test_unhealthy_endpoints_are_skipped_until_they_are_back(strategy: Strategy) -> None:
    balancer = LoadBalancer(["a", "b", "c"], strategy)
    balancer.mark_unhealthy("b")
    seen = []
    for _ in range(40):
        with balancer.use() as endpoint:
            seen.append(endpoint)
    assert set(seen) == {"a", "c"}
    balancer.mark_healthy("b")
    assert "b" in [balancer.get_endpoint() for _ in range(40)]


def test_the_load_of_an_unhealthy_endpoint_is_shared_by_all_others() -> None:
    balancer = LoadBalancer(["a", "b", "c", "d"])
    balancer.mark_unhealthy("b")
    assert set(Counter(balancer.get_endpoint() for _ in range(300)).values()) == {100}


def test_with_no_healthy_endpoint_all_are_tried() -> None:
    balancer = LoadBalancer(["a", "b"])
    balancer.mark_unhealthy("a")
    balancer.mark_unhealthy("b")
    assert {balancer.get_endpoint() for _ in range(4)} == {"a", "b"}


def test_a_heavy_endpoint_does_not_come_in_one_lump() -> None:
    balancer = LoadBalancer(["heavy", "light"], "weighted", weights=[3, 1])
    assert "".join(balancer.get_endpoint()[0] for _ in range(8)) == "hhlhhhlh"


def test_least_busy_counts_what_is_under_way() -> None:
    balancer = LoadBalancer(["a", "b"], "least_busy")
    with balancer.use() as first:
        assert {balancer.get_endpoint(), first} == {"a", "b"}
    assert balancer.get_endpoint() == first


def test_use_reports_an_exception_as_a_failure_and_lets_it_through() -> None:
    balancer = LoadBalancer(["a", "b"])

    def call() -> None:
        with balancer.use():
            raise ConnectionError

    for _ in range(FAILURES_BEFORE_REST * 2):
        with pytest.raises(ConnectionError):
            call()
    assert all(state.failures >= FAILURES_BEFORE_REST for state in balancer._balancer._all)


def test_threads_share_the_turns_evenly() -> None:
    balancer = LoadBalancer(["a", "b", "c"])
    seen: list[Counter[str]] = []

    def take() -> None:
        seen.append(Counter(balancer.get_endpoint() for _ in range(3000)))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(sum(seen, Counter[str]()).values()) == {8000}


def test_a_busy_count_never_goes_below_zero() -> None:
    balancer = LoadBalancer(["a"], "least_busy")
    balancer.report("a", ok=True)
    assert [state.active for state in balancer._balancer._all] == [0]


def test_weighted_turns_do_not_repeat_when_they_need_not() -> None:
    balancer = LoadBalancer(["a", "b", "c"], "weighted", weights=[2, 2, 2])
    turns = [balancer.get_endpoint() for _ in range(12)]
    assert all(one != following for one, following in pairwise(turns))


def test_an_endpoint_that_keeps_failing_rests_and_comes_back() -> None:
    scene = Scene("ab")
    for _ in range(FAILURES_BEFORE_REST):
        scene.end("a")
    assert scene.chosen(4) == {"b"}
    assert scene.balancer.take_at_once() is None
    scene.clock.advance(NEVER.rest_s)
    assert scene.chosen(4) == {"a", "b"}


def test_failures_with_successes_between_them_are_no_reason_to_rest() -> None:
    scene = Scene("ab")
    for verdict in (BAD, BAD, GOOD) * 5:
        scene.end("a", verdict)
    assert scene.chosen(4) == {"a", "b"}


def test_the_last_endpoint_is_asked_even_while_it_rests() -> None:
    scene = Scene("a")
    for _ in range(10):
        scene.end("a")
    assert scene.chosen(1) == {"a"}


def test_equally_busy_endpoints_take_turns() -> None:
    assert Scene("abc", "least_busy").chosen(3) == {"a", "b", "c"}


def test_an_endpoint_that_fails_fast_is_not_the_fastest() -> None:
    scene = Scene("ab", "fastest")
    scene.end("a", seconds=0.001)
    scene.end("b", GOOD, seconds=0.4)
    assert scene.chosen(20) == {"b"}


def test_who_was_slow_once_is_tried_again_later() -> None:
    scene = Scene("ab", "fastest")
    scene.end("a", GOOD, seconds=30.0)
    for _ in range(100):
        scene.end("b", GOOD, seconds=0.5)
        scene.clock.advance(1)
    assert scene.chosen(1) == {"a"}


@pytest.mark.parametrize("strategy", ["round_robin", "weighted", "least_busy", "fastest"])
def test_the_short_way_and_the_long_one_choose_alike(strategy: Strategy) -> None:
    short, long = Scene("abc", strategy), Scene("abc", strategy)
    for _ in range(30):
        at_once = short.balancer.take_at_once()
        assert at_once is not None
        assert at_once == long.take()
        for scene in (short, long):
            scene.balancer.answered(at_once, 0.1 * (at_once.index + 1), streamed=False)
            scene.balancer.finished(at_once)


def test_scores_go_before_the_strategy_and_equals_take_turns() -> None:
    scene = Scene("abc", "weighted")
    assert {scene.take(Ask(scores=(3.0, 1.0, 1.0))).item for _ in range(4)} == {"b", "c"}
    assert scene.take(Ask(scores=(3.0, 1.0, 1.0), fits=(0,))).item == "a"


def test_a_turn_says_how_it_was_chosen_and_what_spoke_against_each_of_the_others() -> None:
    scene = Scene("abcdefg", "least_busy", f=Terms(max_concurrency=1), g=Terms(priority=1))
    assert scene.take(Ask(fits=(5,))).item == "f"
    for _ in range(FAILURES_BEFORE_REST):
        scene.end("c")
    scene.balancer.mark("d", healthy=False)
    why = scene.take(Ask(fits=(1, 2, 3, 4, 5, 6), tried=(4,))).why
    assert why == "least_busy among 1 of 7; a unfit, c resting, d unhealthy, e tried, f full, g spare"
    scene = Scene("AB")
    for _ in range(4):
        scene.end("A")
    assert scene.take().why == "round_robin among 1 of 2; A open"
    scene.clock.advance(10)
    probe = scene.take(Ask(fits=(0,)))
    assert (bool(probe.probe), probe.why) == (True, "round_robin among 1 of 2; B unfit")


def test_a_turn_tells_what_scores_went_by_and_nothing_where_there_is_no_choice() -> None:
    scene = Scene("abc", "weighted")
    assert scene.take(Ask(scores=(3.0, 1.0, 1.0), scored_by="cheapest")).why == "cheapest among 3"
    assert scene.take().why == "weighted among 3"
    at_once = scene.balancer.take_at_once()
    assert at_once is not None
    assert at_once.why == "weighted among 3"
    assert Scene("a").take().why == ""


def test_a_limit_is_kept_and_the_next_priority_helps_out() -> None:
    scene = Scene("ab", a=Terms(max_concurrency=2), b=Terms(priority=1, max_concurrency=1))
    turns = [scene.take() for _ in range(3)]
    assert [turn.item for turn in turns] == ["a", "a", "b"]
    assert isinstance(scene.balancer.take(), Nobody)
    scene.balancer.finished(turns[0])
    assert scene.take().item == "a"


@given(st.lists(st.integers(-3, 3), max_size=60), st.integers(1, 3), st.integers(1, 3))
def test_a_limiter_never_lets_more_through(steps: list[int], one: int, other: int) -> None:
    scene = Scene("ab", a=Terms(max_concurrency=one), b=Terms(max_concurrency=other))
    under_way: list[Turn[str]] = []
    for step in steps:
        if step >= 0:
            turn = scene.balancer.take()
            if isinstance(turn, Turn):
                under_way.append(turn)
            else:
                assert len(under_way) == one + other
        elif under_way:
            scene.balancer.finished(under_way.pop(step % len(under_way)))
        counts = Counter(turn.item for turn in under_way)
        assert counts["a"] <= one
        assert counts["b"] <= other


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(50, 150))
def test_shares_converge_to_the_weights(weights: list[int], rounds: int) -> None:
    balancer = LoadBalancer([str(place) for place in range(len(weights))], "weighted", weights=weights)
    count = rounds * 7
    seen = Counter(int(balancer.get_endpoint()) for _ in range(count))
    for place, weight in enumerate(weights):
        assert abs(seen[place] - count * weight / sum(weights)) <= len(weights)


def test_a_broken_one_is_left_alone_and_one_probe_at_a_time_asks_whether_it_is_back() -> None:
    scene = Scene("A")
    for _ in range(4):
        scene.end("A")
    assert scene.balancer.take() == Nobody(why="open", again_at=scene.clock.monotonic() + 10)
    scene.clock.advance(10)
    probe = scene.take()
    assert probe.probe
    assert isinstance(scene.balancer.take(), Nobody)
    scene.balancer.finished(probe, SILENT)  # its caller left
    scene.balancer.finished(scene.take())
    assert scene.take().probe == 0
    assert scene.balancer.take_at_once() is not None


def test_changes_are_told_once_and_being_back_when_a_call_has_shown_it() -> None:
    scene = Scene("A")
    for _ in range(4):
        scene.end("A")
    scene.clock.advance(10)
    scene.end("A")
    scene.clock.advance(10)
    assert scene.told.lines == ["A resting failures 10", "A open failures 10"]
    scene.end("A", GOOD)
    scene.end("A", GOOD)
    assert scene.told.lines[2:] == ["A ok  0"]
    scene.end("A", Verdict(ok=None, rest_s=60.0, why="credential"))
    assert scene.told.lines[3:] == ["A resting credential 60"]


def test_marks_are_told_and_make_a_fresh_start() -> None:
    scene = Scene("AB")
    for _ in range(4):
        scene.end("A")
    scene.balancer.mark("A", healthy=False)
    assert scene.chosen(3) == {"B"}
    scene.balancer.mark("A", healthy=True)
    assert scene.told.lines[-2:] == ["A unhealthy  0", "A ok  0"]
    assert scene.chosen(4) == {"A", "B"}


def test_a_view_tells_how_each_stands() -> None:
    scene = Scene("ab")
    scene.balancer.answered(scene.take(), 0.25, streamed=True)
    scene.end("b", Verdict(ok=None, rest_s=30.0, why="rate_limited"))
    assert scene.balancer.view() == [
        View("a", condition="ok", why="", active=1, rests_for_s=0.0, first_token_s=0.25, whole_s=0.0),
        View("b", condition="resting", why="rate_limited", active=0, rests_for_s=30.0, first_token_s=0.0, whole_s=0.0),
    ]


def test_threads_never_get_more_than_the_limit() -> None:
    scene = Scene("a", a=Terms(max_concurrency=3))
    most, lock, under_way = 0, threading.Lock(), 0

    def work() -> None:
        nonlocal most, under_way
        for _ in range(2000):
            turn = scene.balancer.take()
            if isinstance(turn, Nobody):
                continue
            with lock:
                under_way += 1
                most = max(most, under_way)
            with lock:
                under_way -= 1
            scene.balancer.finished(turn)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3
    assert scene.balancer.view()[0].active == 0
