"""Where responses are kept: stored, fetched, continued, deleted, for as long as the operator says."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, NotFound
from undercroft.responses import repository
from undercroft.responses.types import Kept
from undercroft.storage.duties import try_hold
from undercroft.wire.openai.responses import ACTIVE, ResponseFailure, Turn, listed, output_of, stopped

T = TypeVar("T")

RETENTION: Final = "responses-retention"
"""The duty of deleting what has expired."""
_DUTY_US: Final = 60_000_000
_items = msgspec.json.Decoder(list[dict[str, Any]])
LOST: Final = ResponseFailure(code="server_error", message="The server was stopped before the answer was complete.")


class Transactions(Protocol):
    """The database, as far as this needs it: each work runs in one transaction; raises Unavailable."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class Shelf:
    """The kept responses of all organisations; one never sees another's."""

    def __init__(self, database: Transactions, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def keep(self, kept: Kept) -> None:
        await self._database.write(partial(repository.keep, kept=kept))

    async def find(self, organisation: str, id: str) -> Kept:
        """Raises NotFound. One whose process is gone is found `failed`."""
        find = partial(repository.find, organisation=organisation, id=id)
        kept = await self._database.read(partial(find, now_us=self._clock.now_us()))
        if kept is None:
            raise NotFound(
                f"Response with id '{id}' not found.",
                hint="It was not stored, has been deleted or has expired.",
                param="response_id",
            )
        if kept.ended.status not in ACTIVE or not kept.is_lapsed:
            return kept
        lost = stopped(kept.ended.body, "failed", why=LOST)
        now_us = self._clock.now_us()
        lose = partial(repository.change, ended=lost, organisation=organisation, only_lapsed_at_us=now_us)
        if await self._database.write(lose):
            return msgspec.structs.replace(kept, ended=lost)
        return await self.find(organisation, id)  # somebody was faster

    async def turns(self, organisation: str, id: str) -> list[Turn] | None:
        """The conversation that ends with response `id`; None when it is not, or not wholly, kept here."""
        find = partial(repository.conversation, organisation=organisation, id=id)
        found = await self._database.read(partial(find, now_us=self._clock.now_us()))
        if not found or found[0].previous is not None:
            return None
        if found[-1].ended.status in ACTIVE:
            raise InvalidRequest(
                f"Previous response '{id}' is still being answered.",
                param="previous_response_id",
                code="previous_response_not_ready",
                hint="Wait until its status is 'completed'.",
            )
        return [Turn(_items.decode(kept.input), output_of(kept.ended.body), kept.is_relayed) for kept in found]

    async def input_items(self, organisation: str, id: str) -> list[dict[str, Any]]:
        """What went into response `id`, each item with an id, oldest first: the turns before it that are kept here, and
        its own input."""
        find = partial(repository.conversation, organisation=organisation, id=id)
        found = await self._database.read(partial(find, now_us=self._clock.now_us()))
        items: list[dict[str, Any]] = []
        for kept in found:
            items += listed(_items.decode(kept.input), kept.ended.id.removeprefix("resp_"))
            if kept is not found[-1]:
                items += output_of(kept.ended.body)
        return items

    async def remove(self, organisation: str, id: str) -> bool:
        """False when there was none."""
        return await self._database.write(partial(repository.remove, organisation=organisation, id=id))

    async def forget_expired(self, *, holder: str) -> int:
        """Deletes some of what has expired, if no other process does."""

        def forget(connection: Connection) -> int:
            now_us = self._clock.now_us()
            if not try_hold(connection, RETENTION, holder=holder, now_us=now_us, lease_us=_DUTY_US):
                return 0
            return repository.forget(connection, now_us=now_us)

        return await self._database.write(forget)
