"""What this process may use of the limits: leased in slices, held while calls are under way, settled when they end.

A call holds the most it can use before it starts and settles what it did use, so that no number of calls at the same
time, in however many processes, ever goes over a limit. As long as there is enough in the process's own slice the
decision costs no wait.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from undercroft.clock import Clock, beat
from undercroft.errors import BeyondLimit, BudgetSpent, LimitReached, RateLimited, Unavailable
from undercroft.ledger.limits import NEVER_US, Left, Limit, renewal, used_of
from undercroft.ledger.slices import Slice, SliceStore, Window

IDLE_S: Final = 1.0
"""A slice that nobody used for so long goes back, for other processes to use."""
DENIED_S: Final = 0.2
"""How long a store's no is taken for an answer: each call asks for what is spent, and the store need not hear of it."""
KEPT_US: Final = 3_600_000_000
"""How long the sums of windows that have ended are kept."""
SOON_S: Final = 1.0
"""When to try again where calls under way hold what is left."""

_log = logging.getLogger(__name__)


class Allowance:
    """This process's part of one window."""

    __slots__ = (
        "denied", "denied_until", "held", "in_doubt", "is_closed", "limit", "lock", "per_call", "per_nano",
        "per_token", "slice", "spent", "trusted_until", "used_at",
    )  # fmt: skip

    def __init__(self, limit: Limit, window: Window, *, owner: str) -> None:
        self.limit = limit
        # How much of it a call, a token and a nano-dollar use up; the window's name says the measure, so they last.
        self.per_call = used_of(limit, tokens=0, cost_nano=0)
        self.per_token = used_of(limit, tokens=1, cost_nano=0) - self.per_call
        self.per_nano = used_of(limit, tokens=0, cost_nano=1) - self.per_call
        self.slice = Slice(window=window, owner=owner)
        self.held = 0
        """By calls under way."""
        self.spent = 0
        self.trusted_until = 0.0
        """Monotonic; after it the slice may have been frozen under us."""
        self.is_closed = False
        """It is settled: a call that has waited for it begins anew."""
        self.in_doubt = False
        """The store was asked for a change, and has not answered."""
        self.used_at = 0.0
        self.denied = 0
        self.denied_until = 0.0
        self.lock = asyncio.Lock()

    @property
    def free(self) -> int:
        """What new calls may hold; below zero where calls used more than they held."""
        return self.slice.amount - self.held - self.spent

    @property
    def left(self) -> int:
        """What is left of the whole limit, as far as this process knows."""
        return max(0, self.limit.amount - max(self.slice.taken, self.slice.amount) + self.free)


class Hold:
    """What one call holds of its limits, until `settle`."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[tuple[Allowance, int]]) -> None:
        self._parts = parts

    def settle(self, *, tokens: int, cost_nano: int) -> None:
        """The call has ended, and used this much. A second call of it changes nothing."""
        parts, self._parts = self._parts, []
        for allowance, amount in parts:
            allowance.held -= amount
            allowance.spent += allowance.per_call + allowance.per_token * tokens + allowance.per_nano * cost_nano

    def absorb(self, more: "Hold") -> None:
        """The call may use more than it held at first: `more` is settled with this hold, and counts once."""
        added, more._parts = dict(more._parts), []
        self._parts = [(allowance, amount + added.pop(allowance, 0)) for allowance, amount in self._parts]
        for allowance, amount in added.items():  # its window was settled under us: nothing is spent of the new one here
            allowance.held -= amount

    def joined(self, other: "Hold") -> "Hold":
        """Both as one, which is settled in their place."""
        parts, self._parts, other._parts = [*self._parts, *other._parts], [], []
        return Hold(parts)

    def drop(self) -> None:
        """There was no call after all."""
        parts, self._parts = self._parts, []
        for allowance, amount in parts:
            allowance.held -= amount

    def left(self) -> list[Left]:
        """Each limit with what is left of it, and when its window ends."""
        found: list[Left] = []
        for allowance, _ in self._parts:
            lent = allowance.slice
            free = lent.amount - allowance.held - allowance.spent
            left = allowance.limit.amount - max(lent.taken, lent.amount) + free
            found.append((allowance.limit, max(left, 0), lent.window.ends_us))
        return found


Need = tuple[Limit, Window, int]
"""A limit, the window a call is counted in, and the most it can use."""


class Watcher(Protocol):
    """Hears how far limits are used up, in the middle of calls: it may not wait, nor raise."""

    def taken(self, limit: Limit, window: Window, amount: int, /) -> None:
        """All processes together have spent or leased so much of it."""
        ...

    def exhausted(self, limit: Limit, window: Window, amount: int, /) -> None:
        """A call was turned away: more than this is used, and too little is left."""
        ...


class Nobody:
    """Who does not want to know."""

    def taken(self, limit: Limit, window: Window, amount: int, /) -> None:
        """Nothing."""

    def exhausted(self, limit: Limit, window: Window, amount: int, /) -> None:
        """Nothing."""


class Allowances:
    """Holds for the calls of this process. `owner` names this life of this process, and nobody else ever.

    `spent_by` says how much a dead owner had used of a slice, or None while that cannot be known yet.
    """

    def __init__(
        self,
        store: SliceStore,
        *,
        owner: str,
        clock: Clock,
        spent_by: Callable[[Slice], Awaitable[int | None]],
        watcher: Watcher | None = None,
    ) -> None:
        self._store = store
        self._owner = owner
        self._clock = clock
        self._spent_by = spent_by
        self._watcher = watcher or Nobody()
        self._allowances: dict[tuple[str, str, str], Allowance] = {}
        self._sharers = 1
        """How many processes share the limits, as far as the store has told."""

    async def hold(self, needs: Sequence[Need]) -> Hold:
        """Holds all of it, or raises RateLimited or BudgetSpent and holds nothing.

        Raises Unavailable where a budget cannot be asked for; of rate limits this process then takes its share alone.
        """
        return self.hold_at_once(needs) or await self._hold(needs)

    def hold_at_once(self, needs: Sequence[Need]) -> Hold | None:
        """The same, where this process has enough of everything already; else None, and it holds nothing."""
        now = self._clock.monotonic()
        allowances = self._allowances
        parts: list[tuple[Allowance, int]] = []
        for limit, window, amount in needs:
            allowance = allowances.get((window.organisation, window.name, window.id))
            # Another limit's window may be the same, or the limit has changed: there is more to it.
            if allowance is None or allowance.limit is not limit or now >= allowance.trusted_until:
                return None
            if allowance.slice.amount - allowance.held - allowance.spent < amount:
                return None
            parts.append((allowance, amount))
        for allowance, amount in parts:
            allowance.held += amount
            allowance.used_at = now
        return Hold(parts)

    def at_hand(self, limit: Limit, window: Window) -> Allowance | None:
        """This process's part of a window, where it has one: until that is closed, or its limit changes."""
        allowance = self._allowances.get(_key(window))
        return allowance if allowance is not None and allowance.limit is limit else None

    async def _hold(self, needs: Sequence[Need]) -> Hold:
        parts: list[tuple[Allowance, int]] = []
        hold = Hold(parts)
        try:
            for limit, window, amount in needs:
                allowance = self._of(limit, window)
                while allowance.free < amount or self._clock.monotonic() >= allowance.trusted_until:
                    if await self._lease(allowance, amount):
                        break
                    allowance = self._of(limit, window)
                allowance.held += amount
                allowance.used_at = self._clock.monotonic()
                parts.append((allowance, amount))
        except BaseException:
            hold.drop()
            raise
        return hold

    def _of(self, limit: Limit, window: Window) -> Allowance:
        key = (window.organisation, window.name, window.id)
        allowance = self._allowances.get(key)
        if allowance is None:
            allowance = self._allowances[key] = Allowance(limit, window, owner=self._owner)
        elif allowance.limit is not limit:
            allowance.limit = limit
        return allowance

    async def _lease(self, allowance: Allowance, amount: int) -> bool:
        """True when `amount` may be held; False when the allowance was closed meanwhile. Raises when the limit has not
        so much left."""
        limit = allowance.limit
        if amount > limit.amount:
            raise self._refused(allowance, amount)
        async with allowance.lock:
            now = self._clock.monotonic()
            if allowance.is_closed:
                return False
            if allowance.free >= amount and now < allowance.trusted_until:
                return True  # another call has asked for more meanwhile
            if amount - allowance.free >= allowance.denied > 0 and now < allowance.denied_until:
                raise self._refused(allowance, amount)
            try:
                await self._ask(allowance, amount)
            except Unavailable:
                if limit.measure == "spend":
                    raise
                share = max(-(-limit.amount // self._sharers), allowance.slice.amount)
                if allowance.spent + allowance.held + amount > share:
                    raise self._refused(allowance, amount) from None
                return True  # each of those who share it takes its part
            if allowance.free < amount:
                allowance.denied, allowance.denied_until = amount - allowance.free, now + DENIED_S
                raise self._refused(allowance, amount)
            allowance.denied = 0
            return True

    async def _ask(self, allowance: Allowance, amount: int) -> None:
        """Leases what is missing of `amount`, if there is as much."""
        # The first answer after a lost one only says what we have.
        for _ in range(2 if allowance.in_doubt else 1):
            missing = max(amount - allowance.free, 0)
            await self._change(allowance, self._store.lease(allowance.slice, missing, limit=allowance.limit.amount))

    async def _change(self, allowance: Allowance, asking: Awaitable[Slice | None]) -> None:
        asked_at = self._clock.monotonic()
        allowance.in_doubt, allowance.trusted_until = True, 0.0
        there = await asking
        allowance.in_doubt = False
        if there is None:  # the window was forgotten, or we were taken for dead
            self._drop(allowance)
            raise Unavailable(
                "This process had lost touch with the store of limits; the next call takes them up again.",
                code="limits_unavailable",
                retry_after_s=SOON_S,
            )
        allowance.slice = there
        self._watcher.taken(allowance.limit, there.window, there.taken)
        allowance.trusted_until = asked_at + self._store.lease_s

    def _refused(self, allowance: Allowance, amount: int) -> LimitReached:
        limit, window, left = allowance.limit, allowance.slice.window, allowance.left
        renews_in_s = None
        if window.ends_us < NEVER_US:
            renews_in_s = max((window.ends_us - self._clock.now_us()) / 1_000_000, SOON_S)
        needs = f", and this call may need {limit.told(amount)}" if amount > 1 else ""
        had = limit.told(left) if allowance.slice.token else f"at most {limit.told(left)}"  # nobody was asked yet
        message = f"The limit of {limit.title} is reached: {had} left{needs}; {renewal(window)}."
        less = "That is more than the limit ever has: ask for less, as with a smaller max_tokens."
        match limit.measure:
            case "concurrent":
                hint = "A place is free when a call of them has ended."
                return RateLimited(f"The limit of {limit.title} is reached.", retry_after_s=SOON_S, hint=hint)
            case "tokens" if amount > limit.amount:
                return BeyondLimit(message, hint=less)
            case "spend" if allowance.held and left + allowance.held >= amount:
                hint = "Calls under way hold the rest until they end."
                return BudgetSpent(message, code="budget_reserved", retry_after_s=SOON_S, hint=hint)
            case "spend":
                ask_less = less if amount > limit.amount else None
                if not (ask_less and left):  # else it is one call that is too large, and others may go on
                    self._watcher.exhausted(limit, window, limit.amount - left)
                return BudgetSpent(message, code="budget_exceeded", retry_after_s=renews_in_s, hint=ask_less)
            case _:
                return RateLimited(message, retry_after_s=renews_in_s)

    # Housekeeping.

    async def run(self) -> None:
        """Until cancelled: keeps the leases, gives back what is idle, and frees what the dead have left."""
        pause_s = min(IDLE_S, self._store.lease_s / 3)
        since_renewal = 0.0
        while True:
            await beat(self._clock, pause_s)
            since_renewal += pause_s
            try:
                await self.tidy()
                if since_renewal >= self._store.lease_s / 3:
                    since_renewal = 0.0
                    await self.keep()
            except Unavailable as error:
                _log.info("limits are counted here alone while the store is away: %s", error)

    async def keep(self) -> None:
        """Renews the leases, learns how many processes share the limits, and frees what the dead have left."""
        await self._renew()
        self._sharers = max(await self._store.sharers(), 1)
        await self.recover()

    async def tidy(self) -> None:
        """Gives back what is idle, and closes windows that have ended."""
        now_us, now = self._clock.now_us(), self._clock.monotonic()
        for allowance in list(self._allowances.values()):
            async with allowance.lock:
                if allowance.held:
                    continue
                is_idle = now - allowance.used_at > IDLE_S
                # Of a place among those under way nothing is ever spent, so that nothing is lost with its row.
                is_empty = allowance.limit.measure == "concurrent" and is_idle
                if allowance.slice.window.ends_us <= now_us or is_empty:
                    await self._close(allowance)
                elif allowance.free > 0 and is_idle:
                    await self._give_back(allowance, allowance.free)

    async def _give_back(self, allowance: Allowance, amount: int) -> None:
        lent = allowance.slice
        # Nobody may hold it while it is on its way back.
        allowance.slice = replace(lent, amount=lent.amount - amount)
        await self._change(allowance, self._store.give_back(lent, amount))

    async def _renew(self) -> None:
        asked_at = self._clock.monotonic()
        for held in await self._store.renew(self._owner):
            allowance = self._allowances.get(_key(held.window))
            if allowance is not None and not allowance.in_doubt and allowance.slice.token == held.token:
                allowance.trusted_until = max(allowance.trusted_until, asked_at + self._store.lease_s)

    async def recover(self) -> None:
        """Settles the slices of processes that died, once it is known what they spent."""
        for frozen in await self._store.freeze():
            if frozen.owner == self._owner:
                continue  # the next call that needs it asks for it
            spent = await self._spent_by(frozen)
            if spent is not None:
                await self._store.settle(frozen, spent)
        await self._store.forget(self._clock.now_us() - KEPT_US)

    async def close(self) -> None:
        """Settles everything: the last call has ended."""
        for allowance in list(self._allowances.values()):
            async with allowance.lock:
                await self._close(allowance)

    async def _close(self, allowance: Allowance) -> None:
        if allowance.slice.token or allowance.in_doubt:
            allowance.in_doubt, allowance.trusted_until = True, 0.0
            await self._store.settle(allowance.slice, allowance.spent)
        self._drop(allowance)

    def _drop(self, allowance: Allowance) -> None:
        allowance.is_closed, allowance.trusted_until = True, 0.0
        self._allowances.pop(_key(allowance.slice.window), None)


def _key(window: Window) -> tuple[str, str, str]:
    return window.organisation, window.name, window.id
