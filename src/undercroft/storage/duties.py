"""Leases on housekeeping duties: any number of processes offer to do one, and at most one at a time does."""

from sqlalchemy import BigInteger, ColumnElement, Connection, case, cast, func, literal, or_, update

from undercroft.storage.schema import duties, insert


def try_hold(connection: Connection, name: str, *, holder: str, now_us: int, lease_us: int) -> bool:
    """Takes, or renews, the lease on duty `name`; False while somebody else holds it.

    `holder` names one life of one process. Called again inside the transaction that does the duty's work, it also
    fences: a process that slept through its lease learns so before it commits. `token` counts the changes of hand.
    """
    now = database_now(connection, now_us)
    offer = insert(connection, duties).values(name=name, holder=holder, token=1, lease_until_us=now + lease_us)
    taken = connection.execute(
        offer.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "holder": offer.excluded.holder,
                "lease_until_us": offer.excluded.lease_until_us,
                "token": duties.c.token + case((duties.c.holder == offer.excluded.holder, 0), else_=1),
            },
            where=or_(duties.c.holder == offer.excluded.holder, duties.c.lease_until_us <= now),
        ),
        execution_options={"preserve_rowcount": True},  # otherwise SQLAlchemy forgets it for an INSERT
    )
    return taken.rowcount == 1


def release(connection: Connection, name: str, *, holder: str) -> None:
    """Ends `holder`'s lease at once, so that the next one need not wait for it to run out."""
    connection.execute(update(duties).where(duties.c.name == name, duties.c.holder == holder).values(lease_until_us=0))


def database_now(connection: Connection, now_us: int) -> ColumnElement[int]:
    """The database's clock where processes may sit on several machines; with SQLite all share the caller's."""
    if connection.dialect.name == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)
    return literal(now_us, BigInteger)
