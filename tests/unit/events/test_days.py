"""Receivers that are away for days, on a clock that is moved by hand."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.events import BAD, DAY_S, GOOD, World
from undercroft.clock import SystemClock
from undercroft.egress.guard import Guard
from undercroft.errors import Conflict
from undercroft.events import webhooks
from undercroft.events.hooks import Hooks
from undercroft.events.retry import WEBHOOK
from undercroft.events.sink import Outcome
from undercroft.ids import Ids
from undercroft.storage.engine import open_database


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = open_database(None, data_dir=tmp_path, pool_size=1, clock=SystemClock())
    made = World(database, clock=ManualClock())
    made.hooked.patience = WEBHOOK
    made.hook("wh_1", "job.*")
    yield made
    database.close()


class Sealed:
    def seal(self, text: str, /) -> str:
        return text


def hooks(world: World) -> Hooks:
    return Hooks(
        world.database,
        guard=Guard(),
        secrets=Sealed(),
        sink=lambda _: world.hooked,
        ids=Ids(world.clock),
        clock=world.clock,
    )


def pass_days(world: World, days: float, *, step_s: float = 7200.0) -> list[float]:
    """Lets time go by with a dispatcher at work; how many days had passed at each attempt."""

    async def passing() -> list[float]:
        dispatcher, began_us, tried = world.dispatcher(), world.clock.now_us(), []
        for _ in range(round(days * DAY_S / step_s)):
            before = len(world.hooked.attempts)
            await dispatcher.tell_due()
            passed = (world.clock.now_us() - began_us) / 1e6 / DAY_S
            tried += [passed] * (len(world.hooked.attempts) - before)
            world.clock.advance(step_s)
        return tried

    return asyncio.run(passing())


def test_a_receiver_that_is_down_for_two_and_a_half_days_misses_nothing_and_gets_each_subject_in_order(
    world: World,
) -> None:
    world.hooked.answer = lambda _: BAD
    for place in range(5):
        world.tell("job_1", f"other_{place}", type="job.running")
        pass_days(world, 0.1)
    world.tell("job_1")
    pass_days(world, 2.0)
    assert world.webhook().enabled
    assert world.webhook().failing_us
    assert len(world.hooked.attempts) < 5 * 6 * 11

    world.hooked.answer = lambda _: GOOD
    pass_days(world, 1.5)

    told = [row.id for row in world.stored() if row.subject == "job_1"]
    assert [event.id for event in world.hooked.got if event.subject == "job_1"] == told
    assert set(world.states("webhook:wh_1").values()) == {"delivered"}
    assert world.webhook().failing_us == 0


def test_a_receiver_that_is_down_for_good_is_switched_off_after_days_and_an_event_says_why(world: World) -> None:
    world.hooked.answer = lambda _: BAD
    world.tell("job_1")
    world.tell("job_2")

    tried = pass_days(world, 5)

    assert len([event for event in world.hooked.attempts if event.subject == "job_1"]) in (10, 11)
    assert 2.5 < max(tried) < 4
    found = world.webhook()
    assert not found.enabled
    assert "nothing could be delivered for" in found.reason
    assert "answered 500" in found.reason
    (written,) = [row for row in world.stored() if row.type == "webhook.disabled"]
    assert written.subject == "wh_1"
    assert set(world.states("webhook:wh_1").values()) == {"failed"}


def test_one_bad_event_does_not_switch_a_webhook_off_that_takes_the_others(world: World) -> None:
    world.hooked.answer = lambda event: BAD if event.subject == "job_bad" else GOOD
    world.tell("job_bad")
    for _ in range(8):
        world.tell("job_good")
        pass_days(world, 0.5)
    assert world.webhook().enabled
    assert {each.subject: each.state for each in world.history("webhook:wh_1")}["job_bad"] == "failed"


def test_what_a_receiver_asks_for_is_waited_for(world: World) -> None:
    world.hooked.answer = lambda _: Outcome(ok=False, status=503, error="answered 503", retry_after_s=7200)
    world.tell("job_1")
    tried = pass_days(world, 0.2, step_s=600)
    assert [round(days * 24, 1) for days in tried] == [0.0, 2.0, 4.0]


def test_a_replay_tells_what_was_missed_under_the_same_ids_in_order(world: World) -> None:
    async def replay(*, everything: bool = False) -> int:
        return await hooks(world).replay("default", "wh_1", since_us=0, everything=everything)

    early = world.tell("job_0")
    pass_days(world, 0.1)
    world.hooked.answer = lambda _: BAD
    missed = world.tell("job_1", "job_1", "job_2")
    pass_days(world, 5)
    later = world.tell("job_1", "job_3")
    asyncio.run(world.dispatcher().tell_due())
    with pytest.raises(Conflict, match="not enabled"):
        asyncio.run(replay())

    world.hooked.answer = lambda _: GOOD
    world.hooked.got.clear()
    enable = partial(webhooks.change, organisation="default", id="wh_1", is_enabled=True)
    world.database.write_sync(enable)
    assert asyncio.run(replay()) == 5
    pass_days(world, 0.1)

    assert [each.id for each in world.hooked.got if each.subject == "job_1"] == [
        each.id for each in (*missed, *later) if each.subject == "job_1"
    ]
    assert {each.id for each in world.hooked.got} == {each.id for each in (*missed, *later)}
    assert asyncio.run(replay()) == 0
    assert asyncio.run(replay(everything=True)) == 6
    pass_days(world, 0.1)
    assert early[0].id in {each.id for each in world.hooked.got}
