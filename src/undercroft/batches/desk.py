"""Where batches are handed in, looked up and cancelled, by the organisation they belong to."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from msgspec.structs import replace
from sqlalchemy import Connection

from undercroft.batches import repository
from undercroft.batches.types import INPUT_BYTES, OVER, PREFIX, WINDOW_US, Batch, Order
from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, NotFound
from undercroft.files.types import StoredFile
from undercroft.ids import Ids
from undercroft.record import Who

T = TypeVar("T")


class Transactions(Protocol):
    """The database, as far as batches need it: each work runs in one transaction; raises Unavailable."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class Files(Protocol):
    """Where inputs are found."""

    async def find(self, organisation: str, id: str) -> StoredFile: ...


class BatchDesk:
    """Batches of all organisations; one never sees another's. Raises Unavailable while the database is away."""

    def __init__(
        self, database: Transactions, files: Files, *, wake: Callable[[], None], ids: Ids, clock: Clock
    ) -> None:
        """`wake` is told that something is to be done."""
        self._database = database
        self._files = files
        self._wake = wake
        self._ids = ids
        self._clock = clock

    async def create(self, who: Who, order: Order) -> Batch:
        """Takes an order: it is in the database when this returns. Raises InvalidRequest."""
        try:
            file = await self._files.find(who.organisation, order.input_file)
        except NotFound as error:
            raise _unusable(order, "there is no such file") from error
        if file.purpose != "batch":
            raise _unusable(order, f"its purpose is '{file.purpose}', and not 'batch'")
        if file.size_bytes > INPUT_BYTES:
            raise _unusable(order, f"it is larger than {INPUT_BYTES // 1_000_000} MB")
        now_us = self._clock.now_us()
        batch = Batch(
            who=who,
            id=self._ids.new(PREFIX),
            status="validating",
            active=True,
            ending="",
            endpoint=order.endpoint,
            input_file=file.id,
            metadata=order.metadata,
            output_expires_s=order.output_expires_s,
            created_us=now_us,
            expires_us=now_us + WINDOW_US,
        )
        await self._database.write(partial(repository.add, batch=batch))
        self._wake()
        return batch

    async def find(self, organisation: str, id: str) -> Batch:
        """With the counts of this moment. Raises NotFound."""
        found = await self._database.read(partial(find_counted, organisation=organisation, id=id))
        return _found(found, id)

    async def page(self, organisation: str, *, after: str | None, limit: int) -> list[Batch]:
        """Some of the organisation's batches, the latest first. Raises InvalidRequest for an unknown `after`."""
        page = await self._database.read(partial(listed_counted, organisation=organisation, after=after, limit=limit))
        if page is None:
            raise InvalidRequest(f"Invalid 'after': there is no batch '{after}'.", code="invalid_value", param="after")
        return page

    async def cancel(
        self, organisation: str, id: str, *, beside: Callable[[Connection, Batch], None] | None = None
    ) -> Batch:
        """Lets nothing of it be begun any more, and breaks off what runs. Raises NotFound and Conflict.

        `beside` writes something of its own in the same transaction.
        """
        now_us = self._clock.now_us()

        def cancel(connection: Connection) -> Batch:
            batch = _found(repository.ask_cancel(connection, organisation=organisation, id=id, now_us=now_us), id)
            if beside is not None:
                beside(connection, batch)
            return batch

        await self._database.write(cancel)
        self._wake()
        return await self.find(organisation, id)


def find_counted(connection: Connection, *, organisation: str, id: str) -> Batch | None:
    """A work for `read`: the batch with the counts of this moment."""
    batch = repository.find(connection, organisation=organisation, id=id)
    return None if batch is None else _counted(connection, batch)


def listed_counted(connection: Connection, *, organisation: str, after: str | None, limit: int) -> list[Batch] | None:
    """A work for `read`: a page of batches, each with the counts of this moment."""
    page = repository.listed(connection, organisation=organisation, after=after, limit=limit)
    return None if page is None else [_counted(connection, batch) for batch in page]


def _counted(connection: Connection, batch: Batch) -> Batch:
    if batch.status in OVER or not batch.fed:
        return batch
    counts = repository.counts(connection, organisation=batch.organisation, id=batch.id)
    return replace(batch, completed=counts.get("completed", 0), failed=counts.get("failed", 0))


def _unusable(order: Order, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The file '{order.input_file[:100]}' cannot be used: {why}.",
        code="invalid_input_file",
        param="input_file_id",
        hint="Upload the lines with purpose=batch first.",
    )


def _found(batch: Batch | None, id: str) -> Batch:
    if batch is None:
        raise NotFound(f"No batch found with id '{id[:100]}'.", code="unknown_batch", param="batch_id")
    return batch
