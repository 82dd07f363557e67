"""Whoever wants an event is told of it, in order, by one process at a time, however the others end."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy import Connection, select, update

from tests.support.events import BAD, GOOD, Receiver, World
from tests.support.responses import Flaky
from tests.support.stamped import Stamped
from undercroft.events import webhooks
from undercroft.events.dispatch import DUTY, PACE_S, DutyLost
from undercroft.events.repository import has_work
from undercroft.events.retry import Patience
from undercroft.events.sink import Outcome
from undercroft.events.types import Event
from undercroft.storage.duties import try_hold
from undercroft.storage.engine import Database
from undercroft.storage.schema import duties, event_deliveries


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def deliver(world: World, holder: str = "one") -> int:
    return asyncio.run(world.dispatcher(holder).tell_due())


def test_everybody_who_wants_an_event_is_told_once(world: World) -> None:
    world.hook("wh_jobs", "job.*")
    world.hook("wh_other", "batch.*", "job.dead")
    told = world.tell("job_1", "job_2")

    assert deliver(world) == 4
    assert deliver(world) == 0

    assert world.receiver.got == told
    assert sorted(world.hooked.subjects) == ["job_1", "job_2"]
    assert world.states("webhook:wh_jobs") == {"job_1": "delivered", "job_2": "delivered"}
    assert world.states("webhook:wh_other") == {}
    assert all(row.spread for row in world.stored())


def test_a_webhook_hears_of_its_own_organisation_only(world: World) -> None:
    world.hook("wh_1", "*", organisation="theirs")
    world.tell("job_1")
    deliver(world)
    assert world.hooked.attempts == []

    world.tell("job_2", organisation="theirs")
    deliver(world)
    assert world.hooked.subjects == ["job_2"]


def test_a_failed_attempt_holds_up_its_subject_and_nothing_else(world: World) -> None:
    world.tell("job_1", type="job.running")
    world.tell("job_2", type="job.running")
    world.tell("job_1", type="job.succeeded")
    world.receiver.answer = lambda event: BAD if event.type == "job.running" and event.subject == "job_1" else GOOD

    deliver(world)
    assert [(each.subject, each.type) for each in world.receiver.got] == [("job_2", "job.running")]
    assert deliver(world) == 0, "the next attempt has its time"


def test_events_that_were_given_up_let_the_following_pass(world: World) -> None:
    world.receiver.patience = Patience(())
    world.tell("job_1", type="job.running")
    world.tell("job_1", type="job.succeeded")
    world.receiver.answer = lambda event: BAD if event.type == "job.running" else GOOD

    deliver(world)
    assert [each.type for each in world.receiver.got] == ["job.succeeded"]
    assert sorted((each.type, each.state) for each in world.history()) == [
        ("job.running", "failed"),
        ("job.succeeded", "delivered"),
    ]


def test_a_batch_keeps_the_order_of_all_and_stops_at_the_first_that_fails(world: World) -> None:
    world.receiver = Receiver(batch=3, at_once=1, patience=Patience((0.0,), is_endless=True))
    told = world.tell(*(f"job_{place}" for place in range(8)))
    failures = iter([BAD, GOOD, GOOD])
    world.receiver.answer = lambda event: next(failures, GOOD)

    deliver(world)
    assert world.receiver.got == told
    assert len(world.receiver.attempts) == 11


def test_while_another_process_has_the_duty_nothing_is_told(world: World) -> None:
    hold = partial(try_hold, name=DUTY, holder="other", now_us=world.clock.now_us())
    assert world.database.write_sync(partial(hold, lease_us=3_600_000_000))
    world.tell("job_1")
    with pytest.raises(DutyLost):
        deliver(world)
    assert world.receiver.attempts == []

    assert world.database.write_sync(partial(hold, lease_us=0))
    deliver(world)
    assert world.receiver.subjects == ["job_1"]


def test_a_process_that_lost_the_duty_while_it_told_notes_nothing_and_it_is_told_again(world: World) -> None:
    """It slept past its lease in the middle of an attempt; another one took over."""
    (event,) = world.tell("job_1")

    def steal(_: Event) -> Outcome:
        world.receiver.answer = lambda _: GOOD
        theirs = update(duties).values(holder="two", lease_until_us=2**62)
        world.database.write_sync(lambda connection: connection.execute(theirs))
        return GOOD

    world.receiver.answer = steal
    with pytest.raises(DutyLost):
        deliver(world, "one")
    assert world.states() == {"job_1": "pending"}

    deliver(world, "two")
    assert [each.id for each in world.receiver.attempts] == [event.id, event.id]
    assert world.states() == {"job_1": "delivered"}


def test_a_webhook_that_is_gone_or_off_is_told_nothing_more(world: World) -> None:
    hook = world.hook("wh_1", "*")
    world.hooked.answer = lambda _: BAD
    world.tell("job_1")
    deliver(world)
    assert world.states("webhook:wh_1") == {"job_1": "pending"}

    world.database.write_sync(partial(webhooks.change, organisation="default", id=hook.id, is_enabled=False))
    assert world.states("webhook:wh_1") == {"job_1": "failed"}
    world.tell("job_2")
    deliver(world)
    assert len(world.hooked.attempts) == 1

    assert world.database.write_sync(partial(webhooks.remove, organisation="default", id=hook.id))
    assert world.history("webhook:wh_1") == []


def test_a_receiver_that_answers_410_is_switched_off_at_once_and_an_event_says_so(world: World) -> None:
    world.hook("wh_1", "job.*")
    world.hooked.answer = lambda _: Outcome(ok=False, status=410, error="answered 410", is_gone=True)
    world.tell("job_1")

    deliver(world)
    found = world.webhook()
    assert not found.enabled
    assert "410" in found.reason
    assert world.disabled == [("wh_1", found.reason)], "whoever keeps the audit log is told"
    assert [row.type for row in world.stored()] == ["job.succeeded", "webhook.disabled"]
    assert world.receiver.got[-1].subject == "wh_1"


def test_old_events_are_forgotten_with_their_deliveries(world: World) -> None:
    world.tell("job_1")
    deliver(world)
    world.clock.advance(8 * 86_400.0)
    world.tell("job_2")

    async def look() -> None:
        task = asyncio.create_task(world.dispatcher().run())
        async with asyncio.timeout(20):
            while len(world.stored()) > 1 or world.receiver.subjects != ["job_1", "job_2"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(look())
    assert [row.subject for row in world.stored()] == ["job_2"]


def test_a_running_dispatcher_tells_what_is_appended_and_outlives_a_database_that_is_away(world: World) -> None:
    async def scene() -> None:
        flaky = Flaky(world.database)
        dispatcher = world.dispatcher(through=flaky)
        task = asyncio.create_task(dispatcher.run())
        flaky.is_away = True
        await asyncio.to_thread(world.tell, "job_1")
        dispatcher.wake()
        await asyncio.sleep(0.05)
        assert world.receiver.got == []
        flaky.is_away = False
        async with asyncio.timeout(20):
            while world.receiver.subjects != ["job_1"]:
                dispatcher.wake()
                world.clock.advance(PACE_S)
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())


def test_a_look_tells_the_outbox_whether_there_are_webhooks(world: World) -> None:
    deliver(world)
    assert not world.outbox.has_webhooks
    world.hook("wh_1", "*", organisation="theirs")
    deliver(world)
    assert world.outbox.has_webhooks


def test_events_that_follow_close_upon_another_are_spread_together(world: World) -> None:
    def lease(connection: Connection) -> int:
        """0: the dispatcher has let its duty go."""
        until_us: int = connection.execute(select(duties.c.lease_until_us).where(duties.c.name == DUTY)).scalar_one()
        return until_us

    async def until(subjects: list[str]) -> None:
        async with asyncio.timeout(20):
            while sorted(world.receiver.subjects) != subjects:  # noqa: ASYNC110 - nothing says when
                await asyncio.sleep(0.01)

    async def scene() -> None:
        dispatcher = world.dispatcher()
        await asyncio.to_thread(world.tell, "job_1")
        task = asyncio.create_task(dispatcher.run())
        await until(["job_1"])
        async with asyncio.timeout(20):  # its end was another turn, which found nothing more to do
            while await world.database.read(lease) != 0:  # noqa: ASYNC110 - nothing says when
                await asyncio.sleep(0.01)
        for subject in ("job_2", "job_3"):
            await asyncio.to_thread(world.tell, subject)
            dispatcher.wake()
        await asyncio.sleep(0.05)
        assert world.receiver.subjects == ["job_1"]
        world.clock.advance(PACE_S)
        await until(["job_1", "job_2", "job_3"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())


def test_a_mistake_of_ours_counts_as_a_failed_attempt(world: World) -> None:
    def broken(_: Event) -> Outcome:
        raise RuntimeError("ours")

    world.receiver.answer = broken
    world.tell("job_1")
    deliver(world)
    (view,) = world.history()
    assert (view.state, view.attempts, view.error) == ("pending", 1, "internal error")


def test_events_of_a_function_that_is_not_there_wait_for_it(world: World) -> None:
    world.tell("job_1")
    world.receiver.answer = lambda _: BAD
    deliver(world)
    rename = update(event_deliveries).values(sink="function:gone", due_us=0)
    world.database.write_sync(lambda connection: connection.execute(rename))

    assert deliver(world) == 0
    assert world.states("function:gone") == {"job_1": "pending"}
    assert not world.database.read_sync(partial(has_work, now_us=world.clock.now_us())), "nobody looks all the time"


def test_what_is_under_way_when_the_server_stops_is_noted(world: World) -> None:
    async def scene() -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        class Slow(Receiver):
            async def send(self, told: Sequence[Event], /) -> Outcome:
                begun.set()
                await go.wait()
                return await super().send(told)

        world.receiver = Slow()
        task = asyncio.create_task(world.dispatcher().run())
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(task, return_exceptions=True)

    world.tell("job_1")
    asyncio.run(scene())
    assert world.states() == {"job_1": "delivered"}
    hold = partial(try_hold, name=DUTY, holder="next", now_us=world.clock.now_us(), lease_us=1)
    assert world.database.write_sync(hold), "nobody waits for the lease to run out"


def test_nobody_looks_again_where_nothing_was_written_and_nothing_waits(world: World) -> None:
    async def scene() -> None:
        database = Stamped(world.database)
        dispatcher = world.dispatcher(through=database, stamp=database.stamp)
        assert await dispatcher.tell_due() == 0
        looked = database.reads
        assert await dispatcher.tell_due() == 0
        assert database.reads == looked

        await asyncio.to_thread(world.tell, "job_1")
        database.written += 1
        world.receiver.answer = lambda _: BAD
        assert await dispatcher.tell_due() == 1
        assert await dispatcher.tell_due() == 0
        looked = database.reads
        await dispatcher.tell_due()
        assert database.reads > looked, "the next attempt comes by time alone"

    asyncio.run(scene())
