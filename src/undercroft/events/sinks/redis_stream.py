"""Events in the Redis stream `undercroft:events`, for programs that read at their own pace."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from undercroft.errors import MissingExtra
from undercroft.events.retry import STREAM, Patience
from undercroft.events.sink import Outcome
from undercroft.events.types import Event

STREAM_NAME: Final = "undercroft:events"
TIMEOUT_S: Final = 5.0


class RedisStreamSink:
    """Adds events in their order. Made and closed inside the running loop."""

    patience: Patience = STREAM
    at_once = 1
    batch = 500

    def __init__(self, url: str, *, length: int) -> None:
        """`length` is about how many entries the stream keeps. Raises MissingExtra."""
        try:
            from redis.asyncio import Redis
        except ImportError as error:
            raise MissingExtra("The Redis stream of events", extra="redis") from error
        self._redis: Redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._length = length

    async def send(self, events: Sequence[Event], /) -> Outcome:
        from redis.exceptions import RedisError

        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                for event in events:
                    pipe.xadd(STREAM_NAME, _fields(event), maxlen=self._length, approximate=True)
                await pipe.execute()
        except (RedisError, OSError) as error:
            return Outcome(ok=False, error=f"{type(error).__name__}: {error}"[:500])
        return Outcome(ok=True)

    async def close(self) -> None:
        await self._redis.aclose()


def _fields(event: Event) -> dict[Any, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "organisation": event.organisation,
        "subject": event.subject,
        "at_us": event.at_us,
        "data": msgspec.json.encode(event.data),
    }
