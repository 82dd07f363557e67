"""Kept responses on both databases."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.responses import DAY_US, NOW_US, kept, response
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest, NotFound
from undercroft.responses import repository
from undercroft.responses.shelf import Shelf
from undercroft.storage.engine import Database
from undercroft.wire.openai.responses import read_ended, stopped

LEASE_US = 60_000_000


def shelf_of(database: Database, clock: ManualClock | None = None) -> Shelf:
    return Shelf(database, clock=clock or ManualClock(NOW_US))


def running(database: Database, id: str = "resp_1", *, lease_us: int = LEASE_US) -> None:
    """One that some process answers."""
    now_us = SystemClock().now_us()
    row = kept(id, status="in_progress", is_background=True, expires_us=now_us + DAY_US)
    database.write_sync(partial(repository.keep, kept=row, owner="me", lease_us=lease_us, now_us=now_us))


def test_what_was_kept_is_found_as_it_was(database: Database) -> None:
    body = response(text={"odd": "\u2028\x00é", "big": 2**53 + 1})
    row = kept(body=body, previous="resp_0", is_background=True, is_relayed=True)

    async def scenario() -> None:
        shelf = shelf_of(database)
        await shelf.keep(row)
        assert await shelf.find("default", "resp_1") == msgspec.structs.replace(row, is_lapsed=True)

    asyncio.run(scenario())


def test_another_organisation_finds_nothing_of_it(database: Database) -> None:
    async def scenario() -> None:
        shelf = shelf_of(database)
        await shelf.keep(kept())
        with pytest.raises(NotFound):
            await shelf.find("other", "resp_1")
        assert await shelf.turns("other", "resp_1") is None
        assert await shelf.input_items("other", "resp_1") == []
        assert not await shelf.remove("other", "resp_1")
        await shelf.keep(kept(organisation="other", body=response(metadata={"whose": "theirs"})))
        ours = await shelf.find("default", "resp_1")
        assert b"theirs" not in ours.ended.body

    asyncio.run(scenario())


def test_a_conversation_is_put_together_oldest_first(database: Database) -> None:
    async def scenario() -> None:
        shelf = shelf_of(database)
        for number in range(5):
            said = [{"type": "message", "id": f"msg_{number}", "role": "assistant", "content": str(number)}]
            body = response(f"resp_{number}", output=said)
            before = f"resp_{number - 1}" if number else None
            await shelf.keep(kept(body=body, previous=before, input=b'[{"role":"user","content":"%d"}]' % number))
        turns = await shelf.turns("default", "resp_3")
        assert turns is not None
        assert [turn.input[0]["content"] for turn in turns] == ["0", "1", "2", "3"]
        assert [turn.output[0]["content"] for turn in turns] == ["0", "1", "2", "3"]
        items = await shelf.input_items("default", "resp_2")
        texts = [item["content"] if isinstance(item["content"], str) else item["content"][0]["text"] for item in items]
        assert texts == ["0", "0", "1", "1", "2"]
        assert len({item["id"] for item in items}) == 5

    asyncio.run(scenario())


def test_half_a_conversation_is_none(database: Database) -> None:
    async def scenario() -> None:
        shelf = shelf_of(database)
        await shelf.keep(kept("resp_2", previous="resp_1"))
        assert await shelf.turns("default", "resp_2") is None
        await shelf.keep(kept("resp_3", previous="resp_3"))
        assert await shelf.turns("default", "resp_3") is None, "a provider that gives an id twice makes no endless loop"

    asyncio.run(scenario())


def test_one_that_is_being_answered_cannot_be_continued(database: Database) -> None:
    running(database)
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(shelf_of(database, ManualClock(SystemClock().now_us())).turns("default", "resp_1"))
    assert refused.value.code == "previous_response_not_ready"


def test_what_has_expired_is_not_found_and_then_deleted(database: Database) -> None:
    async def scenario() -> None:
        clock = ManualClock(NOW_US)
        shelf = shelf_of(database, clock)
        for number in range(3):
            await shelf.keep(kept(f"resp_{number}", expires_us=NOW_US + (number + 1) * DAY_US))
        clock.advance(2 * 86_400)
        for number in range(2):
            with pytest.raises(NotFound):
                await shelf.find("default", f"resp_{number}")
        assert await shelf.turns("default", "resp_1") is None
        assert await shelf.forget_expired(holder="me") == 2
        assert await shelf.forget_expired(holder="me") == 0
        assert (await shelf.find("default", "resp_2")).ended.id == "resp_2"

    asyncio.run(scenario())


def test_one_process_at_a_time_deletes(database: Database) -> None:
    async def scenario() -> None:
        clock = ManualClock(SystemClock().now_us())
        shelf = shelf_of(database, clock)
        assert await shelf.forget_expired(holder="me") == 0
        await shelf.keep(kept(expires_us=clock.now_us() - 1))
        assert await shelf.forget_expired(holder="other") == 0
        assert await shelf.forget_expired(holder="me") == 1

    asyncio.run(scenario())


def test_the_first_end_counts(database: Database) -> None:
    running(database)
    change = partial(repository.change, organisation="default")

    def end(status: Any) -> bool:
        return database.write_sync(partial(change, ended=stopped(response(), status)))

    assert end("in_progress")
    assert end("cancelled")
    assert not end("completed")
    found = asyncio.run(shelf_of(database, ManualClock(SystemClock().now_us())).find("default", "resp_1"))
    assert found.ended.status == "cancelled"


def test_events_come_back_from_any_number_on(database: Database) -> None:
    running(database)
    frames = [b"event: %d\ndata: {}\n\n" % number for number in range(6)]
    for first, last in ((0, 2), (2, 5), (5, 6)):
        events = (first, frames[first:last])
        change = partial(repository.change, ended=read_ended(response(status="in_progress")), events=events)
        assert database.write_sync(partial(change, organisation="default"))
    for after in range(-1, 6):
        read = partial(repository.events_after, organisation="default", id="resp_1", after=after)
        rows = database.read_sync(read)
        told = b"".join(stored for _, stored in rows)
        assert told.endswith(b"".join(frames[after + 1 :]))
        assert not rows or rows[0][0] <= after + 1
    assert database.write_sync(partial(repository.remove, organisation="default", id="resp_1"))
    read = partial(repository.events_after, organisation="default", id="resp_1", after=-1)
    assert database.read_sync(read) == []


def test_one_whose_process_is_gone_has_failed(database: Database) -> None:
    running(database, "resp_dead", lease_us=-1)
    running(database, "resp_alive")

    async def scenario() -> None:
        shelf = shelf_of(database, ManualClock(SystemClock().now_us()))
        dead = await shelf.find("default", "resp_dead")
        assert dead.ended.status == "failed"
        error = msgspec.json.decode(dead.ended.body)["error"]
        assert error["code"] == "server_error"
        assert (await shelf.find("default", "resp_dead")).ended == dead.ended
        assert (await shelf.find("default", "resp_alive")).ended.status == "in_progress"

    asyncio.run(scenario())


def test_renewing_keeps_ones_own_alive_and_tells_what_was_ended_elsewhere(database: Database) -> None:
    for mine in ("resp_1", "resp_2"):
        running(database, mine, lease_us=-1)
    change = partial(repository.change, ended=stopped(response("resp_2"), "cancelled"), organisation="default")
    assert database.write_sync(change)
    now_us = SystemClock().now_us()
    renew = partial(repository.renew, lease_us=LEASE_US, now_us=now_us)
    assert database.write_sync(partial(renew, owner="me")) == {"resp_1"}
    assert database.write_sync(partial(renew, owner="other")) == set()
    found = asyncio.run(shelf_of(database, ManualClock(now_us)).find("default", "resp_1"))
    assert found.ended.status == "in_progress"
