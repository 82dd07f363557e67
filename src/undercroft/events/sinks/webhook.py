"""Events posted to an address that somebody gave us, signed as the Standard Webhooks specification says."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
from standardwebhooks import Webhook as Signer

from undercroft import __version__
from undercroft.clock import Clock, rfc3339
from undercroft.egress.guard import parse_url
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import Origin
from undercroft.egress.response import Response
from undercroft.errors import ConfigurationError, UndercroftError
from undercroft.events.retry import WEBHOOK, Patience
from undercroft.events.sink import Outcome
from undercroft.events.types import Event
from undercroft.events.webhooks import Webhook
from undercroft.wire.retry_after import retry_after_s

AT_ONCE: Final = 4
"""Attempts at one receiver."""
GONE: Final = 410
"""By which a receiver says, to this specification, that it wants no more."""


class Client(Protocol):
    """The outbound HTTP client, with a guard on the addresses that it connects to."""

    async def send(
        self, origin: Origin, head: bytes, body: bytes, *, first_byte_s: float | None = None
    ) -> Response: ...


class Secrets(Protocol):
    """What opens the stored secrets; raises UnreadableSecret and ConfigurationError."""

    def open(self, token: str, /) -> str: ...


class WebhookSink:
    """Posts each event, to the address that it names itself if the webhook has none; any answer but 2xx in time is a
    failure, redirects included."""

    patience: Patience = WEBHOOK
    at_once = AT_ONCE
    batch = 1

    def __init__(self, webhook: Webhook, *, client: Client, secrets: Secrets, timeout_s: float, clock: Clock) -> None:
        self._webhook = webhook
        self._client = client
        self._secrets = secrets
        self._timeout_s = timeout_s
        self._clock = clock

    async def send(self, events: Sequence[Event], /) -> Outcome:
        (event,) = events
        return await self._post(event)

    async def _post(self, event: Event) -> Outcome:
        body = body_of(event)
        try:
            origin, target = parse_url(self._webhook.url or event.address)
            secret = self._secrets.open(self._webhook.secret)
            fields = headers_of(event, body, secret=secret, now_us=self._clock.now_us())
            head = request_head("POST", target, host=str(origin), fields=fields)
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.send(origin, head, body, first_byte_s=self._timeout_s)
        except TimeoutError:
            return Outcome(ok=False, error=f"no answer within {self._timeout_s:g} s")
        except ConfigurationError as error:
            return Outcome(ok=False, error=error.message)
        except UndercroftError as error:
            return Outcome(ok=False, error=error.message, retry_after_s=error.retry_after_s)
        headers = dict(response.headers)
        response.discard()  # what a receiver has to say besides its status interests nobody
        if 200 <= response.status < 300:
            return Outcome(ok=True, status=response.status)
        redirected = " (redirects are not followed)" if 300 <= response.status < 400 else ""
        return Outcome(
            ok=False,
            status=response.status,
            error=f"answered {response.status}{redirected}",
            retry_after_s=retry_after_s(headers, None, now_us=self._clock.now_us()),
            is_gone=response.status == GONE,
        )


def body_of(event: Event) -> bytes:
    """What is posted: OpenAI's shape of an event, with the Standard Webhooks `timestamp` beside it."""
    told: dict[str, Any] = {
        "id": event.id,
        "object": "event",
        "type": event.type,
        "created_at": event.at_us // 1_000_000,
        "timestamp": rfc3339(event.at_us),
        "data": event.data,
    }
    return msgspec.json.encode(told)


def headers_of(event: Event, body: bytes, *, secret: str, now_us: int) -> dict[str, str]:
    """The three headers of the specification, and what any request has. Each attempt is signed at its own time."""
    second = now_us // 1_000_000
    signature = Signer(secret).sign(event.id, datetime.fromtimestamp(second, UTC), body.decode())
    return {
        "content-type": "application/json",
        "user-agent": f"undercroft/{__version__}",
        "webhook-id": event.id,
        "webhook-timestamp": str(second),
        "webhook-signature": signature,
    }
