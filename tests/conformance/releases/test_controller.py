"""Rollouts from their first step to their end, on both databases."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest
from sqlalchemy import Connection, select

from tests.support.releases import ORGANISATION, Shop
from undercroft.errors import Conflict, NotFound
from undercroft.events.types import decode_data
from undercroft.releases.controller import DUTY, LEASE_US, Controller
from undercroft.releases.decide import Command, Next
from undercroft.releases.desk import Status
from undercroft.releases.types import MoveName, Plan, Step
from undercroft.storage import duties
from undercroft.storage.engine import Database
from undercroft.storage.schema import events, feedback
from undercroft.versions import repository as versions
from undercroft.versions.content import PromptContent, PromptMessage

pytestmark = pytest.mark.anyio

T = TypeVar("T")
PLAN = Plan(steps=(Step(share=0.1, bake_s=60), Step(share=0.5, bake_s=60)))
AT_ONCE = Plan(steps=(Step(share=1.0, bake_s=0),))


@pytest.fixture
def stock(database: Database) -> Shop:
    return Shop(database)


def controller(stock: Shop, holder: str = "one") -> Controller:
    return Controller(stock.database, stock.desk, holder=holder, clock=stock.clock)


async def two_releases(stock: Shop, *, history: int = 200) -> tuple[str, str]:
    """A stable one in force, with a past, and a candidate."""
    stable = (await stock.release("chat", "old")).id
    await stock.desk.promote(stable, organisation=ORGANISATION)
    stock.book(stable, history)
    stock.clock.advance(1)
    return stable, (await stock.release("chat", "new")).id


def say(stock: Shop, calls: list[str], score: float, *, source: str = "user") -> None:
    """Feedback on each of these calls."""
    rows = [
        {
            "organisation": ORGANISATION,
            "id": stock.ids.new("fb_"),
            "response": call,
            "call": call,
            "key": "",
            "source": source,
            "score": score,
            "label": "",
            "comment": "",
            "created_us": stock.clock.now_us(),
        }
        for call in calls
    ]
    stock.database.write_sync(lambda connection: connection.execute(feedback.insert(), rows).rowcount)


async def status(stock: Shop) -> Status:
    return await stock.desk.status("chat", organisation=ORGANISATION)


async def moves(stock: Shop) -> list[MoveName]:
    return [moved.move for moved in (await status(stock)).moves][::-1]


async def test_a_good_candidate_goes_through_its_steps_and_is_promoted(stock: Shop) -> None:
    stable, candidate = await two_releases(stock)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    control = controller(stock)

    for _ in PLAN.steps:
        await control.turn()
        stock.book(stable, 200)
        stock.book(candidate, 100)
        stock.clock.advance(61)
        assert await control.turn() == 1

    assert await moves(stock) == ["promoted", "started", "advanced", "promoted"]
    assert (await status(stock)).alias.current == candidate
    assert (await status(stock)).alias.previous == stable


@pytest.mark.parametrize(
    ("gate", "fields"),
    [
        ("errors", {"failing": 40}),
        ("latency", {"duration_us": 2000}),
        ("cost", {"cost_nano": 30}),
        ("refusals", {"refused": True}),
        ("first_token", {"streamed": True, "first_token_us": 900}),
    ],
)
async def test_a_breached_gate_rolls_back(stock: Shop, gate: str, fields: dict[str, int]) -> None:
    stable, candidate = await two_releases(stock, history=0)
    stock.book(stable, 300, streamed=True, first_token_us=300)
    stock.clock.advance(1)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    control = controller(stock)
    await control.turn()

    stock.book(stable, 2000, streamed=True, first_token_us=300)
    stock.book(candidate, 200, **fields)
    stock.clock.advance(1)
    assert await control.turn() == 1

    ended = await status(stock)
    assert ended.rollout is not None
    assert ended.rollout.state == "rolled_back"
    assert ended.rollout.reason.startswith(f"{gate}: ")
    assert ended.alias.current == stable


async def test_what_users_say_counts(stock: Shop) -> None:
    stable, candidate = await two_releases(stock)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    await controller(stock).turn()
    say(stock, stock.book(stable, 300), 1.0)
    say(stock, stock.book(candidate, 100), 0.0)

    await controller(stock).turn()

    ended = await status(stock)
    assert ended.rollout is not None
    assert ended.rollout.reason.startswith("feedback: ")


async def test_what_checks_of_live_answers_say_counts(stock: Shop) -> None:
    stable, candidate = await two_releases(stock)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    await controller(stock).turn()
    say(stock, stock.book(stable, 300), 1.0, source="evaluation")
    say(stock, stock.book(candidate, 100), 0.0, source="evaluation")

    await controller(stock).turn()

    ended = await status(stock)
    assert ended.rollout is not None
    assert ended.rollout.reason.startswith("evaluation: ")


async def test_who_says_the_same_of_one_answer_a_hundred_times_has_said_it_once(stock: Shop) -> None:
    stable, candidate = await two_releases(stock)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    await controller(stock).turn()
    say(stock, stock.book(stable, 300), 1.0)
    (one, *others) = stock.book(candidate, 100)
    say(stock, others, 1.0)
    say(stock, [one] * 500, 0.0)

    assert await controller(stock).turn() == 0


@pytest.mark.parametrize("endpoint", ["evaluation", "online_evaluation", "retrieval"])
async def test_calls_that_no_caller_has_made_are_no_matter_of_a_gate(stock: Shop, endpoint: str) -> None:
    stable, candidate = await two_releases(stock)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    await controller(stock).turn()
    stock.book(stable, 300)
    stock.book(candidate, 200, failing=200, endpoint=endpoint)

    assert await controller(stock).turn() == 0


async def test_callers_faults_are_no_matter_of_the_release(stock: Shop) -> None:
    stable, candidate = await two_releases(stock)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    await controller(stock).turn()
    stock.book(stable, 2000)
    stock.book(candidate, 200, status=429, error="rate_limit_exceeded")

    assert await controller(stock).turn() == 0


async def test_a_shadow_is_judged_by_its_copies_and_answers_nobody(stock: Shop) -> None:
    stable, candidate = await two_releases(stock)
    shadow = Plan(steps=(Step(mirror=1.0, bake_s=60),), promotes=False)
    await stock.desk.start(candidate, shadow, organisation=ORGANISATION)
    control = controller(stock)
    await control.turn()
    stock.book(stable, 200)
    stock.book(candidate, 150, endpoint="shadow")
    stock.clock.advance(61)

    await control.turn()

    assert await moves(stock) == ["promoted", "started", "finished"]
    assert (await status(stock)).alias.current == stable


async def test_another_controller_goes_on_where_one_died(stock: Shop) -> None:
    stable, candidate = await two_releases(stock)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    await controller(stock, "one").turn()
    stock.book(stable, 200)
    stock.book(candidate, 100)
    stock.clock.advance(1)
    other = controller(stock, "two")

    assert await other.turn() == 0, "the first one's lease has not run out"
    stock.database.write_sync(partial(duties.release, name=DUTY, holder="one"))  # as if it had run out
    stock.clock.advance(61)
    assert await other.turn() == 1
    assert await moves(stock) == ["promoted", "started", "advanced"]


async def test_a_controller_that_says_nothing_is_replaced_after_two_seconds(stock: Shop) -> None:
    if stock.database.dialect == "postgresql":
        pytest.skip("there leases go by the database's clock")
    _, candidate = await two_releases(stock)
    await stock.desk.start(candidate, AT_ONCE, organisation=ORGANISATION)
    now_us = stock.clock.now_us()
    hold = partial(duties.try_hold, name=DUTY, holder="one", now_us=now_us, lease_us=LEASE_US)
    assert stock.database.write_sync(hold)

    stock.clock.advance(1.9)
    assert await controller(stock, "two").turn() == 0
    stock.clock.advance(0.1)
    assert await controller(stock, "two").turn() == 1


class Counted:
    """Counts what is asked of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reads = self.writes = 0

    async def read(self, work: Callable[[Connection], T], /) -> T:
        self.reads += 1
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T], /) -> T:
        self.writes += 1
        return await self._database.write(work)


async def test_the_lease_is_renewed_twice_as_often_as_gates_are_looked_at(stock: Shop) -> None:
    counted = Counted(stock.database)
    control = Controller(counted, stock.desk, holder="one", clock=stock.clock, interval_s=1.0)
    running = asyncio.create_task(control.run())
    seen = []
    try:
        for _ in range(5):
            while not stock.clock.is_awaited:  # noqa: ASYNC110 - a clock has no event
                await asyncio.sleep(0.001)  # the database answers in a thread
            seen.append((counted.writes, counted.reads))
            stock.clock.advance(0.5)
            await asyncio.sleep(0)
    finally:
        running.cancel()

    assert seen == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]


async def test_two_who_move_the_same_rollout_do_not_both(stock: Shop) -> None:
    _, candidate = await two_releases(stock)
    rollout = await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    await stock.desk.command("chat", "pause", organisation=ORGANISATION, author="ann")

    with pytest.raises(Conflict, match="somebody else"):
        await stock.desk.move(rollout, Next(move="advanced", reason=""))


async def test_a_person_may_pause_resume_promote_and_go_back(stock: Shop) -> None:
    stable, candidate = await two_releases(stock)
    await stock.desk.start(candidate, PLAN, organisation=ORGANISATION)
    commands: tuple[Command, ...] = ("pause", "resume", "promote", "roll_back")
    for command in commands:
        stock.clock.advance(1)
        await stock.desk.command("chat", command, organisation=ORGANISATION, author="ann")

    assert await moves(stock) == ["promoted", "started", "paused", "resumed", "promoted", "rolled_back"]
    assert (await status(stock)).alias.current == stable, "without an open rollout it is the release before"
    assert {moved.author for moved in stock.moved[2:]} == {"ann"}


async def test_every_move_is_an_event_and_told_to_the_audit(stock: Shop) -> None:
    _, candidate = await two_releases(stock)
    await stock.desk.start(candidate, AT_ONCE, organisation=ORGANISATION)
    await controller(stock).turn()

    rows = stock.read(lambda connection: connection.execute(select(events).order_by(events.c.number)).all())

    assert [row.type for row in rows] == [
        "release.created",
        "release.promoted",
        "release.created",
        "release.started",
        "release.promoted",
    ]
    assert decode_data(rows[-1].type, rows[-1].data).id == candidate
    assert stock.audited == stock.moved


async def test_what_cannot_be_begun_is_refused(stock: Shop) -> None:
    first = (await stock.release("chat", "old")).id
    with pytest.raises(Conflict, match="no release yet"):
        await stock.desk.start(first, PLAN, organisation=ORGANISATION)
    with pytest.raises(NotFound):
        await stock.desk.start("rel_0", PLAN, organisation=ORGANISATION)
    await stock.desk.promote(first, organisation=ORGANISATION)
    with pytest.raises(Conflict, match="already"):
        await stock.desk.start(first, PLAN, organisation=ORGANISATION)
    with pytest.raises(Conflict, match="to go back"):
        await stock.desk.command("chat", "roll_back", organisation=ORGANISATION)
    second = (await stock.release("chat", "new")).id
    await stock.desk.start(second, PLAN, organisation=ORGANISATION)
    with pytest.raises(Conflict, match="open already"):
        await stock.desk.start(second, PLAN, organisation=ORGANISATION)


async def test_the_same_pins_are_the_same_release_and_what_is_left_out_stays(stock: Shop) -> None:
    first = await stock.release("chat", "old")
    again = await stock.desk.create("chat", {"model": "chat@latest"}, organisation=ORGANISATION)
    assert again.id == first.id
    await stock.desk.promote(first.id, organisation=ORGANISATION)

    stock.add("prompt", "greeting", PromptContent(messages=(PromptMessage(role="system", content="Hi"),)), "production")
    with_prompt = await stock.desk.create("chat", {"prompt": "greeting@production"}, organisation=ORGANISATION)

    assert with_prompt.manifest.model == first.manifest.model
    found = stock.read(partial(versions.find, kind="prompt", name="greeting", organisation=ORGANISATION))
    assert with_prompt.manifest.prompt == found.reference
