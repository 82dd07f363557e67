"""The Redis stream: fed from the outbox, bounded, and complete when Redis comes back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis

from tests.support.receiver import ALLOWED, settle, written_into
from tests.support.redis import RedisServer, running_redis
from tests.support.server import serving
from undercroft.events.sinks.redis_stream import STREAM_NAME, RedisStreamSink
from undercroft.events.types import Event, JobData


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def entries(server: RedisServer) -> list[dict[str, Any]]:
    with Redis.from_url(server.url) as client:
        found: Any = client.xrange(STREAM_NAME)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in found]


def event(number: int) -> Event:
    return Event(
        id=f"evt_{number}",
        type="job.running",
        organisation="default",
        subject=f"job_{number}",
        at_us=number,
        data=JobData(id=f"job_{number}", kind="chat"),
    )


def test_the_stream_is_bounded_and_says_everything_of_an_event(redis_server: RedisServer) -> None:
    async def scene() -> None:
        sink = RedisStreamSink(redis_server.url, length=100)
        try:
            for start in range(0, 5000, 500):
                assert (await sink.send([event(start + place) for place in range(500)])).ok
        finally:
            await sink.close()

    asyncio.run(scene())
    found = entries(redis_server)
    assert 100 <= len(found) < 500, "about as many as it may hold: Redis drops whole nodes"
    last = found[-1]
    assert msgspec.json.decode(last.pop("data")) == {"id": "job_4999", "kind": "chat"}
    assert last == {
        "id": "evt_4999",
        "type": "job.running",
        "organisation": "default",
        "subject": "job_4999",
        "at_us": "4999",
    }


def test_a_redis_that_is_away_is_a_failed_attempt_in_words(redis_server: RedisServer) -> None:
    redis_server.kill()

    async def scene() -> None:
        sink = RedisStreamSink(redis_server.url, length=100)
        outcome = await sink.send([event(1)])
        await sink.close()
        assert not outcome.ok
        assert "ConnectionError" in outcome.error

    asyncio.run(scene())


def test_events_told_while_redis_is_away_are_in_the_stream_in_order_when_it_is_back(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    extra = {"REDIS_URL": redis_server.url}
    with serving(tmp_path, toml=ALLOWED, extra=extra) as server, written_into(tmp_path) as tell:
        first = [each.id for each in tell(*(f"job_{place}" for place in range(50)))]
        settle(lambda: [each["id"] for each in entries(redis_server)] == first, within_s=60)

        redis_server.kill()
        away = [each.id for _ in range(5) for each in tell(*(f"job_{place}" for place in range(40)))]
        assert server.ask("/health").status == 200
        redis_server.start()
        settle(lambda: len(entries(redis_server)) >= len(away), within_s=120)

    ids = [each["id"] for each in entries(redis_server)]
    assert list(dict.fromkeys(each for each in ids if each in set(away))) == away
    assert set(ids) - set(away) <= set(first)
