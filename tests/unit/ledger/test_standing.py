"""What is held of a standing, against the same holds that are looked up one by one."""

import asyncio

import pytest

from tests.support.clock import ManualClock
from tests.support.memory_slices import MemorySlices
from undercroft.gateway.stages.allow import headers_of
from undercroft.ledger.allowances import Allowances
from undercroft.ledger.limits import Ask, Counting, Limit, asked
from undercroft.ledger.slices import Slice
from undercroft.ledger.standing import Standing
from undercroft.record import Who

WHO = Who(key="k1")
LIMITS = (
    Limit(scope="key", measure="requests", amount=100, period="minute"),
    Limit(scope="key", measure="tokens", amount=1000),
    Limit(scope="key", measure="spend", amount=5000, period="day"),
    Limit(scope="key", measure="concurrent", amount=3),
)


class Desk:
    """Two processes of their own, each with a store."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.counted = Counting.at(LIMITS, WHO, self.clock.now_us())

    def allowances(self) -> Allowances:
        async def spent_by(_: Slice) -> int | None:
            return None

        return Allowances(MemorySlices(), owner="me", clock=self.clock, spent_by=spent_by)

    def needs(self, ask: Ask) -> "list[tuple[Limit, object, int]]":
        amounts = asked(ask)
        return [(limit, window, amounts[limit.measure]) for limit, window in self.counted.windows]

    async def standing(self, allowances: Allowances) -> Standing:
        hold = await allowances.hold(self.needs(Ask(tokens=900, spend_nano=4000)))  # type: ignore[arg-type]
        hold.drop()
        found = [allowances.at_hand(limit, window) for limit, window in self.counted.windows]
        return Standing(self.counted, [each for each in found if each is not None])


def state(allowances: Allowances) -> list[tuple[str, int, int, int]]:
    return [(each.limit.measure, each.held, each.spent, each.left) for each in allowances._allowances.values()]


def test_it_holds_settles_and_tells_as_a_hold_does() -> None:
    async def scenario() -> None:
        desk = Desk()
        first, second = desk.allowances(), desk.allowances()
        standing = await desk.standing(first)
        await desk.standing(second)
        now, now_us = desk.clock.monotonic(), desk.clock.now_us()
        for tokens, spend, used, cost in ((100, 500, 20, 90), (300, 1000, 400, 1300), (50, 0, 50, 0)):
            assert standing.hold(tokens, spend, now)
            hold = second.hold_at_once(desk.needs(Ask(tokens=tokens, spend_nano=spend)))  # type: ignore[arg-type]
            assert hold is not None
            assert state(first) == state(second)
            told = b"".join(b"%b: %b\r\n" % field for field in headers_of(hold.left(), now_us=now_us))
            assert standing.fields(now_us) == told
            standing.settle(tokens, spend, tokens=used, cost_nano=cost)
            hold.settle(tokens=used, cost_nano=cost)
            assert state(first) == state(second)

    asyncio.run(scenario())


@pytest.mark.parametrize(("tokens", "spend"), [(1001, 0), (0, 5001)])
def test_it_holds_nothing_where_one_of_them_has_not_enough(tokens: int, spend: int) -> None:
    async def scenario() -> None:
        desk = Desk()
        allowances = desk.allowances()
        standing = await desk.standing(allowances)
        before = state(allowances)
        assert not standing.hold(tokens, spend, desk.clock.monotonic())
        assert state(allowances) == before

    asyncio.run(scenario())


def test_what_was_held_can_be_taken_over_or_dropped() -> None:
    async def scenario() -> None:
        desk = Desk()
        allowances = desk.allowances()
        standing = await desk.standing(allowances)
        assert standing.hold(10, 20, desk.clock.monotonic())
        standing.drop(10, 20)
        assert standing.hold(10, 20, desk.clock.monotonic())
        standing.taken_over(10, 20).settle(tokens=5, cost_nano=7)
        assert [held for _, held, _, _ in state(allowances)] == [0, 0, 0, 0]
        assert [spent for _, _, spent, _ in state(allowances)] == [1, 5, 7, 0]

    asyncio.run(scenario())


def test_a_closed_allowance_is_not_trusted_and_another_limit_has_none_at_hand() -> None:
    async def scenario() -> None:
        desk = Desk()
        allowances = desk.allowances()
        standing = await desk.standing(allowances)
        assert standing.hold(1, 0, desk.clock.monotonic())
        standing.drop(1, 0)
        await allowances.close()
        assert not standing.hold(1, 0, desk.clock.monotonic())
        limit, window = desk.counted.windows[0]
        assert allowances.at_hand(limit, window) is None

    asyncio.run(scenario())


def test_it_tells_which_measures_have_more_than_one_limit() -> None:
    async def scenario() -> None:
        desk = Desk()
        standing = await desk.standing(desk.allowances())
        assert standing.tells
        assert standing.tells_all
        double = Limit(scope="team", measure="tokens", amount=7)
        desk.counted = Counting.at((*LIMITS, double), Who(key="k1", team="t"), desk.clock.now_us())
        allowances = desk.allowances()
        await allowances.hold(desk.needs(Ask(tokens=1, spend_nano=1)))  # type: ignore[arg-type]
        found = [allowances.at_hand(limit, window) for limit, window in desk.counted.windows]
        assert not Standing(desk.counted, [each for each in found if each is not None]).tells_all
        assert not Standing(Counting.at((), WHO, 0), ()).tells

    asyncio.run(scenario())
