"""What one process does with its part of the limits."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.clock import ManualClock
from tests.support.memory_slices import MemorySlices
from undercroft.errors import BeyondLimit, BudgetSpent, RateLimited, Unavailable
from undercroft.ledger.allowances import Allowances, Hold
from undercroft.ledger.limits import NEVER_US, Limit
from undercroft.ledger.slices import Slice, Window
from undercroft.record import Who

WHO = Who(key="k1")
RATE = Limit(scope="key", measure="requests", amount=3, period="minute")
BUDGET = Limit(scope="key", measure="spend", amount=1000)
PLACES = Limit(scope="key", measure="concurrent", amount=2)


class Desk:
    """Allowances of one process over a store in memory."""

    def __init__(self, *, owner: str = "me", store: MemorySlices | None = None) -> None:
        self.clock = ManualClock()
        self.store = store or MemorySlices()
        self.told: dict[str, int | None] = {}
        self.heard: list[tuple[str, int]] = []
        self.allowances = Allowances(self.store, owner=owner, clock=self.clock, spent_by=self._spent_by, watcher=self)

    def taken(self, limit: Limit, window: Window, amount: int, /) -> None:
        self.heard.append(("taken", amount))

    def exhausted(self, limit: Limit, window: Window, amount: int, /) -> None:
        self.heard.append(("exhausted", amount))

    async def _spent_by(self, held: Slice) -> int | None:
        return self.told.get(held.owner)

    async def hold(self, limit: Limit, amount: int = 1) -> Hold:
        return await self.allowances.hold([(limit, limit.window(WHO, self.clock.now_us()), amount)])


def plays(scenario: Callable[[Desk], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        asyncio.run(scenario(Desk()))

    test.__name__ = scenario.__name__
    return test


def name_of(limit: Limit) -> str:
    return limit.window(WHO, 0).name


@plays
async def test_no_more_than_the_limit_is_held(desk: Desk) -> None:
    for _ in range(3):
        (await desk.hold(RATE)).settle(tokens=0, cost_nano=0)
    with pytest.raises(RateLimited, match="3 requests a minute for each key is reached: 0 requests left") as refused:
        await desk.hold(RATE)
    assert refused.value.retry_after_s == 60


@plays
async def test_a_minute_later_there_is_as_much_again(desk: Desk) -> None:
    for _ in range(3):
        await desk.hold(RATE)
    desk.clock.advance(60)
    await desk.hold(RATE)


@plays
async def test_what_was_held_too_much_comes_back(desk: Desk) -> None:
    hold = await desk.hold(BUDGET, 900)
    with pytest.raises(BudgetSpent) as refused:
        await desk.hold(BUDGET, 200)
    assert refused.value.code == "budget_reserved"
    assert refused.value.retry_after_s == 1
    hold.settle(tokens=0, cost_nano=100)
    hold.settle(tokens=0, cost_nano=100)  # changes nothing
    again = await desk.hold(BUDGET, 900)
    assert again.left() == [(BUDGET, 0, NEVER_US)]
    again.settle(tokens=0, cost_nano=900)
    with pytest.raises(BudgetSpent) as spent:
        await desk.hold(BUDGET, 1)
    assert (spent.value.code, spent.value.retry_after_s, spent.value.retryable) == ("budget_exceeded", None, False)


@plays
async def test_a_call_that_could_cost_more_than_the_whole_budget_is_refused_without_asking(desk: Desk) -> None:
    with pytest.raises(BudgetSpent, match=r"this call may need 0\.000001001 USD.*ask for less"):
        await desk.hold(BUDGET, 1001)
    assert desk.store.asked == 0


@plays
async def test_a_call_that_wants_more_tokens_than_a_minute_has_is_not_worth_trying_again(desk: Desk) -> None:
    tokens = Limit(scope="key", measure="tokens", amount=200, period="minute")
    with pytest.raises(BeyondLimit, match="at most 200 tokens left, and this call may need 201 tokens") as refused:
        await desk.hold(tokens, 201)
    assert (refused.value.retryable, refused.value.retry_after_s) == (False, None)
    await desk.hold(tokens, 200)
    with pytest.raises(RateLimited, match="0 tokens left") as reached:
        await desk.hold(tokens, 200)
    assert reached.value.retryable
    assert reached.value.retry_after_s is not None


@plays
async def test_what_one_limit_refuses_is_not_held_of_the_others(desk: Desk) -> None:
    moment = desk.clock.now_us()
    await desk.hold(PLACES)
    await desk.hold(PLACES)
    with pytest.raises(RateLimited, match="2 calls at a time"):
        await desk.allowances.hold(
            [(BUDGET, BUDGET.window(WHO, moment), 1000), (PLACES, PLACES.window(WHO, moment), 1)]
        )
    await desk.hold(BUDGET, 1000)


@plays
async def test_a_place_among_those_under_way_is_free_again_when_the_call_has_ended(desk: Desk) -> None:
    for _ in range(10):
        (await desk.hold(PLACES)).settle(tokens=5, cost_nano=5)


@plays
async def test_within_its_slice_a_process_asks_nobody(desk: Desk) -> None:
    wide = Limit(scope="key", measure="requests", amount=8000, period="day")
    for _ in range(1000):
        (await desk.hold(wide)).settle(tokens=0, cost_nano=0)
    assert desk.store.asked == 1


@plays
async def test_a_no_is_taken_for_an_answer_for_a_moment(desk: Desk) -> None:
    (await desk.hold(BUDGET, 1000)).settle(tokens=0, cost_nano=1000)
    before = desk.store.asked
    for _ in range(100):
        with pytest.raises(BudgetSpent):
            await desk.hold(BUDGET, 1)
    assert desk.store.asked == before + 1


@plays
async def test_calls_at_the_same_time_hold_no_more_than_one_after_the_other(desk: Desk) -> None:
    async def call() -> bool:
        try:
            hold = await desk.hold(BUDGET, 30)
        except BudgetSpent:
            return False
        await asyncio.sleep(0)
        hold.settle(tokens=0, cost_nano=10)
        return True

    done = await asyncio.gather(*(call() for _ in range(200)))
    await desk.allowances.close()
    assert desk.store.settled[name_of(BUDGET)] == 10 * sum(done) <= 1000


@plays
async def test_without_the_store_rates_are_counted_here_alone_and_money_is_not_spent(desk: Desk) -> None:
    desk.store.is_away = True
    with pytest.raises(Unavailable):
        await desk.hold(BUDGET, 1)
    for _ in range(3):
        (await desk.hold(RATE)).settle(tokens=0, cost_nano=0)
    with pytest.raises(RateLimited):
        await desk.hold(RATE)


@plays
async def test_without_the_store_each_of_those_who_share_a_rate_takes_its_part(desk: Desk) -> None:
    rate = replace(RATE, amount=9, period="day")
    window = rate.window(WHO, 0)
    for owner in ("second", "third"):
        await desk.store.lease(Slice(window=window, owner=owner), 1, limit=9)
    await desk.hold(rate)
    await desk.allowances.keep()
    desk.store.is_away = True
    await desk.hold(rate)
    await desk.hold(rate)
    with pytest.raises(RateLimited):  # three processes, nine requests
        await desk.hold(rate)


@plays
async def test_holds_of_two_stores_are_settled_as_one(desk: Desk) -> None:
    rate, money = await desk.hold(RATE), await desk.hold(BUDGET, 100)
    both = rate.joined(money)
    rate.settle(tokens=0, cost_nano=0)  # it is the joined one's now
    both.settle(tokens=0, cost_nano=60)
    await desk.allowances.close()
    assert desk.store.settled == {name_of(RATE): 1, name_of(BUDGET): 60}


@plays
async def test_a_lost_answer_costs_nothing(desk: Desk) -> None:
    desk.store.loses_answers = True
    with pytest.raises(Unavailable):
        await desk.hold(BUDGET, 600)
    desk.store.loses_answers = False
    (await desk.hold(BUDGET, 1000)).settle(tokens=0, cost_nano=1000)
    await desk.allowances.close()
    assert desk.store.settled[name_of(BUDGET)] == 1000


@plays
async def test_a_lease_that_may_have_run_out_is_not_spent_from(desk: Desk) -> None:
    (await desk.hold(BUDGET, 10)).settle(tokens=0, cost_nano=10)
    desk.clock.advance(desk.store.lease_s)
    desk.store.is_away = True
    with pytest.raises(Unavailable):
        await desk.hold(BUDGET, 1)
    desk.store.is_away = False
    await desk.hold(BUDGET, 1)


@plays
async def test_what_is_idle_goes_back_and_what_was_spent_stays(desk: Desk) -> None:
    (await desk.hold(BUDGET, 400)).settle(tokens=0, cost_nano=150)
    desk.clock.advance(1.1)
    await desk.allowances.tidy()
    assert desk.store.out(name_of(BUDGET)) == 150
    (await desk.hold(BUDGET, 850)).settle(tokens=0, cost_nano=850)


@plays
async def test_a_window_that_has_ended_is_settled_once_its_calls_have(desk: Desk) -> None:
    first, second = await desk.hold(RATE), await desk.hold(RATE)
    first.settle(tokens=0, cost_nano=0)
    desk.clock.advance(61)
    await desk.allowances.tidy()
    assert desk.store.settled == {}
    second.settle(tokens=0, cost_nano=0)
    await desk.allowances.tidy()
    assert desk.store.settled == {name_of(RATE): 2}


@plays
async def test_what_the_dead_spent_is_settled_once_it_is_known(desk: Desk) -> None:
    window = BUDGET.window(WHO, 0)
    desk.store.leave_behind(window, 800, owner="dead")
    await desk.allowances.recover()
    with pytest.raises(BudgetSpent):
        await desk.hold(BUDGET, 300)
    desk.told["dead"] = 450
    await desk.allowances.recover()
    desk.clock.advance(1)
    await desk.hold(BUDGET, 550)


@plays
async def test_its_own_slice_is_never_settled_under_it(desk: Desk) -> None:
    desk.told["me"] = 0
    await desk.hold(BUDGET, 100)
    desk.store.leave_behind(BUDGET.window(WHO, 0), 100, owner="me")
    await desk.allowances.recover()
    assert desk.store.settled == {}


def test_two_processes_share_a_limit() -> None:
    async def scenario() -> None:
        store = MemorySlices()
        here, there = Desk(owner="here", store=store), Desk(owner="there", store=store)
        held = 0
        for _ in range(1000):
            for desk in (here, there):
                try:
                    (await desk.hold(BUDGET, 7)).settle(tokens=0, cost_nano=7)
                    held += 7
                except BudgetSpent:
                    continue
        assert 900 < held <= 1000

    asyncio.run(scenario())


@plays
async def test_whoever_watches_hears_how_much_all_have_taken_and_that_a_budget_is_used_up(desk: Desk) -> None:
    (await desk.hold(BUDGET, 900)).settle(tokens=0, cost_nano=900)
    assert desk.heard[-1] == ("taken", 900)
    for _ in range(2):
        with pytest.raises(BudgetSpent):
            await desk.hold(BUDGET, 200)
    assert desk.heard.count(("exhausted", 900)) == 2
    with pytest.raises(BudgetSpent):
        await desk.hold(BUDGET, 1001)
    assert desk.heard.count(("exhausted", 900)) == 2, "a call that no budget of this size could pay uses nothing up"
    for _ in range(3):
        (await desk.hold(RATE)).settle(tokens=0, cost_nano=0)
    with pytest.raises(RateLimited):
        await desk.hold(RATE)
    assert desk.heard.count(("exhausted", 3)) == 0, "a rate limit is never used up for good"


def needs(desk: Desk, *amounts: tuple[Limit, int]) -> list[tuple[Limit, Window, int]]:
    return [(limit, limit.window(WHO, desk.clock.now_us()), amount) for limit, amount in amounts]


@plays
async def test_what_is_leased_is_held_at_once_and_counts_like_any_hold(desk: Desk) -> None:
    assert desk.allowances.hold_at_once(needs(desk, (BUDGET, 10))) is None, "nothing is leased yet"
    (await desk.hold(BUDGET, 10)).settle(tokens=0, cost_nano=4)
    hold = desk.allowances.hold_at_once(needs(desk, (BUDGET, 10)))
    assert hold is not None
    assert hold.left() == [(BUDGET, 986, NEVER_US)]
    hold.settle(tokens=0, cost_nano=7)
    await desk.allowances.close()
    assert desk.store.settled[name_of(BUDGET)] == 11


@plays
async def test_of_several_all_or_none_is_held_at_once(desk: Desk) -> None:
    (await desk.hold(BUDGET, 10)).drop()
    (await desk.hold(PLACES)).drop()
    places = [desk.allowances.hold_at_once(needs(desk, (BUDGET, 1), (PLACES, 1))) for _ in range(3)]
    assert [place is not None for place in places] == [True, False, False]
    (budget,) = [each for each in desk.allowances._allowances.values() if each.limit is BUDGET]
    assert budget.held == 1


@plays
async def test_a_lease_that_has_run_out_is_not_held_from_at_once(desk: Desk) -> None:
    (await desk.hold(BUDGET, 10)).drop()
    desk.clock.advance(desk.store.lease_s)
    assert desk.allowances.hold_at_once(needs(desk, (BUDGET, 1))) is None
    (await desk.hold(BUDGET)).drop()


@plays
async def test_two_limits_with_one_window_are_not_held_at_once_from_the_same_place(desk: Desk) -> None:
    (await desk.hold(BUDGET, 10)).drop()
    smaller = replace(BUDGET, amount=20)
    assert desk.allowances.hold_at_once(needs(desk, (BUDGET, 10), (smaller, 10))) is None
