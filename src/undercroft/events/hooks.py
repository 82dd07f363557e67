"""What can be done with webhooks, for the management API and the command line."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from undercroft.clock import Clock
from undercroft.egress.guard import Guard
from undercroft.errors import AddressRefused, Conflict, InvalidRequest, NotFound
from undercroft.events import repository, signing, webhooks
from undercroft.events.dispatch import Transactions
from undercroft.events.repository import DeliveryView, Place
from undercroft.events.sink import Outcome, Sink
from undercroft.events.types import TYPES, Event, WebhookData, is_pattern, matches
from undercroft.events.webhooks import Webhook
from undercroft.ids import Ids

MAX_DESCRIPTION: Final = 500
HISTORY: Final = 50


class Secrets(Protocol):
    """Encrypts what is stored. Raises Conflict where there is no key."""

    def seal(self, text: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Made:
    """A webhook at the moment of its making: `secret` is shown once and stored encrypted."""

    webhook: Webhook
    secret: str


class Hooks:
    """The webhooks of all organisations; one never sees another's. Raises NotFound for what is not there."""

    def __init__(
        self,
        database: Transactions,
        *,
        guard: Guard,
        secrets: Secrets,
        sink: Callable[[Webhook], Sink],
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._database = database
        self._guard = guard
        self._secrets = secrets
        self._sink = sink
        self._ids = ids
        self._clock = clock

    async def create(self, organisation: str, *, url: str, types: Sequence[str], description: str = "") -> Made:
        """Raises InvalidRequest, AddressRefused and Conflict."""
        self._check(url=url, types=types, description=description)
        secret = webhooks.make_secret(os.urandom)
        webhook = Webhook(
            id=self._ids.new("wh_"),
            organisation=organisation,
            url=url,
            types=tuple(types),
            description=description,
            secret=self._secrets.seal(secret),
            created_us=self._clock.now_us(),
        )
        if not await self._database.write(partial(webhooks.add, webhook=webhook)):
            raise Conflict(f"There are {webhooks.MOST} webhooks already.", hint="Delete one that is no longer needed.")
        return Made(webhook, secret)

    async def listed(self, organisation: str) -> list[Webhook]:
        return await self._database.read(partial(webhooks.listed, organisation=organisation))

    async def find(self, organisation: str, id: str) -> Webhook:
        return _there(await self._database.read(partial(webhooks.find, organisation=organisation, id=id)), id)

    async def change(
        self,
        organisation: str,
        id: str,
        *,
        url: str | None = None,
        types: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Changes what is given. Raises InvalidRequest and AddressRefused, with no change."""
        self._check(url=url, types=types, description=description)
        change = partial(webhooks.change, organisation=organisation, id=id, url=url, types=types)
        return _there(await self._database.write(partial(change, description=description, is_enabled=enabled)), id)

    async def remove(self, organisation: str, id: str) -> None:
        if not await self._database.write(partial(webhooks.remove, organisation=organisation, id=id)):
            raise _not_found(id)

    async def history(self, organisation: str, id: str) -> list[DeliveryView]:
        """Its latest deliveries, newest first."""
        webhook = await self.find(organisation, id)
        place = Place(organisation, webhook.sink)
        return await self._database.read(partial(repository.history, place=place, limit=HISTORY))

    async def replay(
        self,
        organisation: str,
        id: str,
        *,
        since_us: int,
        everything: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Has the events since then told again that it has missed, or all of them; how many. Raises Conflict for one
        that is not enabled."""
        webhook = await self.find(organisation, id)
        if not webhook.enabled:
            raise Conflict(f"The webhook {id} is not enabled: {webhook.reason}.", hint="Enable it first.")
        count, after = 0, 0
        while True:
            again = partial(
                repository.replay,
                place=Place(organisation, webhook.sink),
                wants=partial(matches, webhook.types),
                since_us=since_us,
                after=after,
                is_everything=everything,
                now_us=self._clock.now_us(),
            )
            some, last = await self._database.write(again)
            count += some
            progress(some)
            if last is None:
                return count
            after = last

    async def test(self, organisation: str, id: str) -> Outcome:
        """Posts a `webhook.test` at once and tells what came of it; nothing is stored."""
        webhook = await self.find(organisation, id)
        event = Event(
            id=self._ids.new("evt_"),
            type="webhook.test",
            organisation=organisation,
            subject=webhook.id,
            at_us=self._clock.now_us(),
            data=WebhookData(id=webhook.id, url=webhook.url),
        )
        return await self._sink(webhook).send([event])

    async def expect_address(self, organisation: str, url: str, *, param: str) -> None:
        """Whether events may be posted to an address that a request names in passing; what signs them is made for the
        first one. Raises AddressRefused, for `param`, and Conflict where no secret can be stored."""
        try:
            self._guard.check_url(url)
        except AddressRefused as error:
            raise AddressRefused(error.message, param=param, hint=error.hint) from error
        if await self._database.read(partial(signing.sealed, organisation=organisation)) is None:
            await self._sign_anew(organisation, is_first=True)

    async def renew_job_secret(self, organisation: str) -> str:
        """What jobs' own webhooks are signed under from now on: shown once, and stored encrypted. Raises Conflict."""
        return await self._sign_anew(organisation, is_first=False)

    async def _sign_anew(self, organisation: str, *, is_first: bool) -> str:
        secret = webhooks.make_secret(os.urandom)
        put = partial(signing.put, secret=self._secrets.seal(secret), organisation=organisation, is_first=is_first)
        await self._database.write(partial(put, now_us=self._clock.now_us()))
        return secret

    async def addressed(self, organisation: str, subject: str) -> list[DeliveryView]:
        """How what was posted about `subject`, where its maker asked for it, has fared; newest first."""
        mine = partial(repository.addressed, organisation=organisation, subject=subject, prefix=webhooks.ADDRESS)
        return await self._database.read(mine)

    def _check(self, *, url: str | None, types: Sequence[str] | None, description: str | None) -> None:
        if url is not None:
            self._guard.check_url(url)
        if types is not None:
            if not types:
                raise InvalidRequest("types: takes at least one type of event, such as job.*", param="types")
            for pattern in types:
                if not is_pattern(pattern):
                    raise InvalidRequest(
                        f"types: no event has the type {pattern!r}.",
                        param="types",
                        hint=f"There are {', '.join(TYPES)}; also family.* and *.",
                    )
        if description is not None and len(description) > MAX_DESCRIPTION:
            raise InvalidRequest(f"description: takes up to {MAX_DESCRIPTION} characters.", param="description")


def _there(webhook: Webhook | None, id: str) -> Webhook:
    if webhook is None:
        raise _not_found(id)
    return webhook


def _not_found(id: str) -> NotFound:
    return NotFound(f"There is no webhook '{id}'.", param="webhook_id")
