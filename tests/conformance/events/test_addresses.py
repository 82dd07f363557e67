"""An event that names an address is posted there besides: signed, in order, a few at a time, and seen afterwards."""

import asyncio
import random
import string
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest

from tests.support.events import BAD, Receiver, World
from undercroft.events import signing, webhooks
from undercroft.events.dispatch import ADDRESSED_AT_ONCE, UNSIGNED
from undercroft.events.sink import Outcome
from undercroft.events.types import Event
from undercroft.storage.engine import Database

HOOK = "https://receiver.example/hook?job=1"


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def deliver(world: World) -> int:
    return asyncio.run(world.dispatcher().tell_due())


def test_an_event_is_posted_to_its_address_and_nobody_elses(world: World) -> None:
    world.sign()
    (told,) = world.tell("job_1", address=HOOK)
    world.tell("job_2")

    deliver(world)
    assert world.hooked.got == [told]
    assert world.hooked.got[0].address == HOOK
    (seen,) = world.addressed("job_1")
    assert (seen.event, seen.type, seen.state, seen.attempts) == (told.id, "job.succeeded", "delivered", 1)
    assert world.addressed("job_2") == []
    assert world.addressed("job_1", organisation="theirs") == []
    assert sorted(world.receiver.subjects) == ["job_1", "job_2"], "those who listen hear of both"


def test_a_webhook_that_listens_and_the_address_are_told_each(world: World) -> None:
    world.sign()
    world.hook("wh_1", "job.*")
    world.tell("job_1", address=HOOK)

    deliver(world)
    assert Counter(event.id for event in world.hooked.got).most_common(1)[0][1] == 2
    assert len(world.addressed("job_1")) == 1


def test_a_receiver_that_fails_is_tried_again_and_one_that_is_gone_is_not(world: World) -> None:
    world.sign()
    world.tell("job_1", "job_2", address=HOOK)
    gone = Outcome(ok=False, status=410, error="answered 410", is_gone=True)
    world.hooked.answer = lambda event: BAD if event.subject == "job_1" else gone

    deliver(world)
    (failed,), (given_up,) = world.addressed("job_1"), world.addressed("job_2")
    assert (failed.state, failed.attempts, failed.status) == ("pending", 1, 500)
    assert failed.due_us > 0
    assert (given_up.state, given_up.error) == ("failed", "answered 410")


def test_without_its_secret_nothing_is_posted(world: World) -> None:
    world.tell("job_1", address=HOOK)
    deliver(world)
    assert world.hooked.attempts == []
    (seen,) = world.addressed("job_1")
    assert (seen.state, seen.error) == ("failed", UNSIGNED)


def test_the_first_secret_stays_until_it_is_renewed(world: World) -> None:
    def sealed() -> str | None:
        return world.database.read_sync(partial(signing.sealed, organisation="default"))

    def put(secret: str, *, is_first: bool) -> None:
        work = partial(signing.put, secret=secret, organisation="default", now_us=1, is_first=is_first)
        world.database.write_sync(work)

    assert sealed() is None
    put("one", is_first=True)
    put("two", is_first=True)
    assert sealed() == "one"
    put("three", is_first=False)
    assert sealed() == "three"


def test_no_more_than_so_many_posts_are_under_way_however_many_receivers_there_are(world: World) -> None:
    class Slow(Receiver):
        under_way = most = 0
        go = asyncio.Event()

        async def send(self, told: Sequence[Event], /) -> Outcome:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if self.under_way == ADDRESSED_AT_ONCE:
                asyncio.get_running_loop().call_later(0.2, self.go.set)  # time for one more, if there were to be one
            await self.go.wait()
            self.under_way -= 1
            return await super().send(told)

    slow = Slow(at_once=4)
    world.hooked = slow
    world.sign()
    count = ADDRESSED_AT_ONCE + 20
    for number in range(count):
        world.tell(f"job_{number}", address=f"https://receiver-{number}.example/")

    deliver(world)
    assert len(slow.got) == count
    assert slow.most == ADDRESSED_AT_ONCE


def test_the_longest_address_fits(world: World) -> None:
    rng = random.Random(1)
    world.sign()
    host = ".".join("".join(rng.choices(string.ascii_lowercase, k=60)) for _ in range(4))
    address = f"https://{host}/" + "".join(rng.choices(string.ascii_letters, k=2000 - 9 - len(host)))
    assert len(address) == 2000
    world.tell("job_1", address=address)
    deliver(world)
    assert [event.address for event in world.hooked.got] == [address]


def test_the_sink_of_an_address_is_its_origin() -> None:
    assert webhooks.address_sink("https://a.example/x?y") == webhooks.address_sink("https://A.example:443/z")
    assert webhooks.address_sink("https://a.example/") != webhooks.address_sink("https://b.example/")
    assert webhooks.address_sink("nothing that is one") == webhooks.ADDRESS
