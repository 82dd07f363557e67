"""Slices in Redis, for limits that may begin anew when it loses everything: rates, not money."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from undercroft.clock import Clock
from undercroft.errors import MissingExtra, Unavailable
from undercroft.ledger.slice_stores import redis_scripts as scripts
from undercroft.ledger.slices import SHARE, Slice, Window

T = TypeVar("T")

LEASE_S: Final = 10.0
TIMEOUT_S: Final = 0.25
"""A call waits no longer for its limits; it is then counted by this process alone."""
REST_S: Final = 1.0
"""How long a Redis that failed is not asked again: a call must not wait for it again and again."""
UNKNOWN: Final = b"unknown"
LOST: Final = b"lost"


class RedisSliceStore:
    """A SliceStore in Redis. Leases run on Redis's clock. Made and closed inside the running loop.

    `before` says what the ledger has of a window that Redis knows nothing of: a new one, or one that it has lost.
    Owners of slices that it has lost say themselves what they have, the next time they ask: until all have done so,
    others may be given what is theirs.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        before: Callable[[Window], Awaitable[int]],
        lease_s: float = LEASE_S,
    ) -> None:
        """Raises MissingExtra."""
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError as error:
            raise MissingExtra("Limits in Redis", extra="redis") from error
        # Again, once and at once: connections of before a restart are dead. To ask twice is to ask once.
        retry = Retry(NoBackoff(), 1)
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=retry
        )
        self._clock = clock
        self._before = before
        self._rests_until = 0.0
        self.lease_s = lease_s
        register = self._redis.register_script
        self._change, self._renew = register(scripts.CHANGE), register(scripts.RENEW)
        self._freeze, self._settle = register(scripts.FREEZE), register(scripts.SETTLE)
        self._forget, self._sharers = register(scripts.FORGET), register(scripts.SHARERS)

    async def lease(self, held: Slice, requested: int, *, limit: int) -> Slice | None:
        return await self._changed(held, "lease", requested, limit)

    async def give_back(self, held: Slice, unspent: int) -> Slice | None:
        if not 0 <= unspent <= held.amount:
            raise ValueError(f"{unspent} of {held.amount} cannot be given back")
        return await self._changed(held, "give back", unspent, 0)

    async def renew(self, owner: str) -> list[Slice]:
        found = await self._ask(lambda: self._renew(args=[owner, self._lease_us]))
        return [_slice_of(row, is_frozen=False) for row in found]

    async def freeze(self) -> list[Slice]:
        return [_slice_of(row, is_frozen=True) for row in await self._ask(lambda: self._freeze(args=[]))]

    async def settle(self, held: Slice, spent: int) -> bool:
        arguments: list[Any] = [_name(held.window), held.owner, held.token, int(held.is_frozen), spent]
        return bool(await self._ask(lambda: self._settle(args=arguments)))

    async def forget(self, before_us: int) -> int:
        return int(await self._ask(lambda: self._forget(args=[before_us])))

    async def sharers(self) -> int:
        return int(await self._ask(lambda: self._sharers(args=[])))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _changed(self, held: Slice, verb: str, asked: int, limit: int) -> Slice | None:
        def arguments(before: int | str) -> list[Any]:
            window = held.window
            known = [_name(window), held.owner, window.ends_us, held.amount, held.token, self._lease_us, before]
            return [*known, verb, asked, limit, SHARE]

        answer = await self._ask(lambda: self._change(args=arguments("")))
        if answer[0] == UNKNOWN:
            before = await self._before(held.window)
            answer = await self._ask(lambda: self._change(args=arguments(before)))
        if answer[0] == LOST:
            return None
        amount, token, taken = map(int, answer)
        return Slice(window=held.window, owner=held.owner, amount=amount, token=token, taken=taken)

    @property
    def _lease_us(self) -> int:
        return round(self.lease_s * 1_000_000)

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T:
        from redis.exceptions import RedisError

        if self._clock.monotonic() < self._rests_until:
            raise _away("it failed a moment ago")
        try:
            return await command()
        except (RedisError, OSError) as error:
            self._rests_until = self._clock.monotonic() + REST_S
            raise _away(f"{type(error).__name__}: {error}") from error


def _name(window: Window) -> str:
    return f"{window.organisation}\n{window.name}\n{window.id}"


def _slice_of(row: list[bytes], *, is_frozen: bool) -> Slice:
    name, ends_us, owner, amount, token = row
    organisation, limit, period = name.decode().split("\n")
    window = Window(organisation=organisation, name=limit, id=period, ends_us=int(ends_us))
    return Slice(window=window, owner=owner.decode(), amount=int(amount), token=int(token), is_frozen=is_frozen)


def _away(why: str) -> Unavailable:
    return Unavailable(f"The limits in Redis are away: {why}.", code="limits_unavailable", retry_after_s=REST_S)
