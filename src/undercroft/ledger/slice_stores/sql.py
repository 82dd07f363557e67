"""Slices in the database: one row an owner and window, and one a window for what is spent and settled.

Whoever changes how much of a window is out holds its sum's row, so that changes of one window follow one another.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, delete, func, select, update

from undercroft.clock import Clock
from undercroft.ledger.slices import Slice, Window, slice_size
from undercroft.storage.duties import database_now
from undercroft.storage.schema import insert, slices

if TYPE_CHECKING:
    from undercroft.ledger.shipping import Transactions

LEASE_S: Final = 10.0
SETTLED: Final = ""
"""Owner of the row that holds a window's sum: its amount is what was spent by those who have left, its token the last
that was given out."""


class SqlSliceStore:
    """A SliceStore in SQLite or PostgreSQL. Leases run on the database's clock.

    `before` says what was used of a window before anybody asked for it: a limit may be written down in the middle of
    its period.
    """

    def __init__(
        self,
        database: "Transactions",
        *,
        clock: Clock,
        lease_s: float = LEASE_S,
        before: Callable[[Connection, Window], int] = lambda _connection, _window: 0,
    ) -> None:
        self._database = database
        self._clock = clock
        self._before = before
        self.lease_s = lease_s

    async def lease(self, held: Slice, requested: int, *, limit: int) -> Slice | None:
        change = partial(_lease, held=held, requested=requested, limit=limit, before=self._before)
        return await self._database.write(partial(change, now_us=self._clock.now_us(), lease_us=self._lease_us))

    async def give_back(self, held: Slice, unspent: int) -> Slice | None:
        change = partial(_give_back, held=held, unspent=unspent)
        return await self._database.write(partial(change, now_us=self._clock.now_us(), lease_us=self._lease_us))

    async def renew(self, owner: str) -> list[Slice]:
        change = partial(_renew, owner=owner)
        return await self._database.write(partial(change, now_us=self._clock.now_us(), lease_us=self._lease_us))

    async def freeze(self) -> list[Slice]:
        return await self._database.write(partial(_freeze, now_us=self._clock.now_us()))

    async def settle(self, held: Slice, spent: int) -> bool:
        return await self._database.write(partial(_settle, held=held, spent=spent))

    async def sharers(self) -> int:
        return await self._database.read(partial(_sharers, now_us=self._clock.now_us()))

    async def forget(self, before_us: int) -> int:
        return await self._database.write(partial(_forget, before_us=before_us))

    @property
    def _lease_us(self) -> int:
        return round(self.lease_s * 1_000_000)


def _lease(
    connection: Connection,
    *,
    held: Slice,
    requested: int,
    limit: int,
    before: Callable[[Connection, Window], int],
    now_us: int,
    lease_us: int,
) -> Slice | None:
    if not held.token:
        _hold(connection, held.window, before)

    def more() -> int:
        out = connection.execute(
            select(
                func.coalesce(func.sum(slices.c.amount), 0).label("amount"),
                func.count(case((and_(slices.c.owner.not_in((SETTLED, held.owner)), ~slices.c.frozen), 1))).label(
                    "others"
                ),
            ).where(_of(held.window))
        ).one()
        # PostgreSQL's sum of bigints is a numeric.
        return held.amount + slice_size(requested, left=limit - int(out.amount), owners=out.others + 1)

    return _change(connection, held, to=more, now_us=now_us, lease_us=lease_us)


def _give_back(connection: Connection, *, held: Slice, unspent: int, now_us: int, lease_us: int) -> Slice | None:
    if not 0 <= unspent <= held.amount:
        raise ValueError(f"{unspent} of {held.amount} cannot be given back")
    return _change(connection, held, to=lambda: held.amount - unspent, now_us=now_us, lease_us=lease_us)


def _change(connection: Connection, held: Slice, *, to: Callable[[], int], now_us: int, lease_us: int) -> Slice | None:
    """Changes a slice's amount to what `to` says, if `held` is what is there; renews its lease in any case."""
    last_token = _hold(connection, held.window)
    there = _there(connection, held)
    if there is None and held.token == 0:
        there = held  # its first
    if there is None:
        return None  # settled: by whoever found out from its records what it had spent
    amount = to() if there.token == held.token else there.amount
    if there.token == amount == 0:  # nothing was left for its first
        return msgspec.structs.replace(there, taken=_taken(connection, held.window))
    # A new one even where the amount stays: what its owner asked before, and gave up, may still be on its way.
    token = last_token + 1
    connection.execute(update(slices).where(_of(held.window), slices.c.owner == SETTLED).values(token=token))
    until = database_now(connection, now_us) + lease_us
    changes = {"amount": amount, "token": token}
    row = insert(connection, slices).values(
        **_key(held.window), owner=held.owner, frozen=False, lease_until_us=until, **changes
    )
    renewed = {"lease_until_us": _not_before(until), "frozen": False, **changes}
    connection.execute(row.on_conflict_do_update(index_elements=list(slices.primary_key), set_=renewed))
    taken = _taken(connection, held.window)
    return msgspec.structs.replace(there, amount=amount, token=token, is_frozen=False, taken=taken)


def _renew(connection: Connection, *, owner: str, now_us: int, lease_us: int) -> list[Slice]:
    until = _not_before(database_now(connection, now_us) + lease_us)
    held = update(slices).where(slices.c.owner == owner, ~slices.c.frozen)
    renewed = held.values(lease_until_us=until).returning(*slices.c)
    return [_slice_of(row) for row in connection.execute(renewed).mappings()]


def _not_before(until_us: ColumnElement[int]) -> ColumnElement[int]:
    """The end of a lease, which an older ask that arrives late must not bring forward."""
    return case((slices.c.lease_until_us > until_us, slices.c.lease_until_us), else_=until_us)


def _freeze(connection: Connection, *, now_us: int) -> list[Slice]:
    # Whoever is just being changed is alive, and not waited for.
    late = and_(
        slices.c.owner != SETTLED, ~slices.c.frozen, slices.c.lease_until_us <= database_now(connection, now_us)
    )
    for row in connection.execute(select(slices).where(late).with_for_update(skip_locked=True)).mappings().all():
        held = _slice_of(row)
        connection.execute(update(slices).where(_of(held.window), slices.c.owner == held.owner).values(frozen=True))
    return [_slice_of(row) for row in connection.execute(select(slices).where(slices.c.frozen)).mappings()]


def _settle(connection: Connection, *, held: Slice, spent: int) -> bool:
    _hold(connection, held.window)
    there = _there(connection, held)
    if there is None or (there.token, there.is_frozen) != (held.token, held.is_frozen):
        return False
    connection.execute(delete(slices).where(_of(held.window), slices.c.owner == held.owner))
    settled = update(slices).where(_of(held.window), slices.c.owner == SETTLED)
    connection.execute(settled.values(amount=slices.c.amount + spent))
    return True


def _sharers(connection: Connection, *, now_us: int) -> int:
    lives = and_(
        slices.c.owner != SETTLED, ~slices.c.frozen, slices.c.lease_until_us > database_now(connection, now_us)
    )
    return int(connection.execute(select(func.count(slices.c.owner.distinct())).where(lives)).scalar_one())


def _forget(connection: Connection, *, before_us: int) -> int:
    return connection.execute(delete(slices).where(slices.c.ends_us < before_us)).rowcount


def _hold(
    connection: Connection, window: Window, before: Callable[[Connection, Window], int] = lambda _connection, _window: 0
) -> int:
    """Makes everybody else who changes this window wait until this transaction ends; returns its last token."""
    sum_of = select(slices.c.token).where(_of(window), slices.c.owner == SETTLED).with_for_update()
    token: int | None = connection.execute(sum_of).scalar_one_or_none()
    if token is None:
        first = {
            "owner": SETTLED,
            "amount": before(connection, window),
            "token": 0,
            "lease_until_us": 0,
            "frozen": False,
        }
        connection.execute(insert(connection, slices).values(**_key(window), **first).on_conflict_do_nothing())
        token = connection.execute(sum_of).scalar_one()
    return token


def _taken(connection: Connection, window: Window) -> int:
    """Leased and settled, by all."""
    out = connection.execute(select(func.coalesce(func.sum(slices.c.amount), 0)).where(_of(window))).scalar_one()
    return int(out)  # PostgreSQL's sum of bigints is a numeric


def _there(connection: Connection, held: Slice) -> Slice | None:
    """The slice as the store has it, held so that nobody freezes it meanwhile."""
    own = select(slices).where(_of(held.window), slices.c.owner == held.owner).with_for_update()
    row = connection.execute(own).mappings().one_or_none()
    return None if row is None else _slice_of(row)


def _of(window: Window) -> ColumnElement[bool]:
    return and_(
        slices.c.organisation == window.organisation, slices.c.name == window.name, slices.c.period == window.id
    )


def _key(window: Window) -> dict[str, Any]:
    return {
        "organisation": window.organisation, "name": window.name, "period": window.id, "ends_us": window.ends_us,
    }  # fmt: skip


def _slice_of(row: RowMapping) -> Slice:
    window = Window(organisation=row["organisation"], name=row["name"], id=row["period"], ends_us=row["ends_us"])
    return Slice(window=window, owner=row["owner"], amount=row["amount"], token=row["token"], is_frozen=row["frozen"])
