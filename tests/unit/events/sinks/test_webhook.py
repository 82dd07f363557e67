"""What a receiver gets is signed as the specification says, and what it answers is understood: over loopback."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from openai import OpenAI
from openai.types.webhooks import BatchCompletedWebhookEvent
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.support.upstream import Do, Request, Step, Upstream, running_upstream
from undercroft.clock import SystemClock
from undercroft.egress.client import Client
from undercroft.egress.guard import Guard
from undercroft.errors import UnreadableSecret
from undercroft.events.sink import Outcome
from undercroft.events.sinks.webhook import WebhookSink, headers_of
from undercroft.events.types import BatchData, Event, JobData
from undercroft.events.webhooks import Webhook, make_secret
from undercroft.settings.model import Egress

SECRET = make_secret(lambda count: bytes(range(count)))
EVENT = Event(
    id="evt_1",
    type="job.succeeded",
    organisation="default",
    subject="job_1",
    at_us=1_767_225_600_500_000,
    data=JobData(id="job_1", kind="chät"),
)
BATCH = Event(
    id="evt_2",
    type="batch.completed",
    organisation="default",
    subject="batch_1",
    at_us=EVENT.at_us,
    data=BatchData(id="batch_1"),
)


class Plain:
    """Secrets that are stored as they are."""

    def open(self, token: str, /) -> str:
        if token == "lost":
            raise UnreadableSecret("A stored secret cannot be read.")
        return token


def answering(status: int, *, headers: str = "", body: bytes = b"") -> Callable[[Request], Iterable[Step]]:
    head = f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return lambda _: [head.encode() + body]


def posted(
    answer: Callable[[Request], Iterable[Step]],
    *,
    event: Event = EVENT,
    secret: str = SECRET,
    timeout_s: float = 5.0,
    allow: tuple[str, ...] = ("127.0.0.0/8",),
) -> tuple[Outcome, list[Request]]:
    """One attempt at a receiver that gives this answer, and what reached it."""

    async def scene() -> tuple[Outcome, list[Request]]:
        upstream = Upstream()
        upstream.answers = {"": answer}
        clock = SystemClock()
        async with running_upstream(upstream=upstream) as running:
            url = running.base_url.replace("/v1", "/hook?a=b")
            client = Client(limits=Egress(), clock=clock, guard=Guard(allow=allow))
            webhook = Webhook(id="wh_1", organisation="default", url=url, types=("*",), secret=secret, created_us=0)
            sink = WebhookSink(webhook, client=client, secrets=Plain(), timeout_s=timeout_s, clock=clock)
            try:
                outcome = await sink.send([event])
            finally:
                await client.close()
            return outcome, list(running.requests)

    return asyncio.run(scene())


@pytest.mark.parametrize("event", [EVENT, BATCH], ids=lambda event: event.type)
def test_what_arrives_is_verified_by_the_specifications_library_and_by_openais(event: Event) -> None:
    outcome, (request,) = posted(answering(204), event=event)

    assert outcome == Outcome(ok=True, status=204)
    assert request.path == "/hook?a=b"
    body: Any = Verifier(SECRET).verify(request.body, request.headers)
    assert body["id"] == request.headers["webhook-id"] == event.id
    assert (body["type"], body["object"], body["created_at"]) == (event.type, "event", 1_767_225_600)
    assert body["timestamp"] == "2026-01-01T00:00:00.500000Z"
    assert body["data"]["id"] == event.subject
    OpenAI(api_key="x", webhook_secret=SECRET).webhooks.verify_signature(request.body.decode(), request.headers)


def test_openais_sdk_reads_a_batch_event_as_its_own() -> None:
    _, (request,) = posted(answering(204), event=BATCH)
    unwrapped = OpenAI(api_key="x", webhook_secret=SECRET).webhooks.unwrap(request.body.decode(), request.headers)
    assert isinstance(unwrapped, BatchCompletedWebhookEvent)
    assert (unwrapped.id, unwrapped.data.id) == ("evt_2", "batch_1")


def test_a_changed_body_or_an_old_signature_is_refused_by_the_verifier() -> None:
    body = b'{"a": 1}'
    headers = headers_of(EVENT, body, secret=SECRET, now_us=time.time_ns() // 1000)
    Verifier(SECRET).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(b'{"a": 2}', headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(make_secret(bytes)).verify(body, headers)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Verifier(SECRET).verify(body, headers_of(EVENT, body, secret=SECRET, now_us=EVENT.at_us))


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (answering(500), 500, "answered 500"),
        (answering(404, body=b"no"), 404, "answered 404"),
        (answering(302, headers="location: http://127.0.0.1:1/\r\n"), 302, "redirects are not followed"),
        (lambda _: [b"hello\r\n\r\n"], 0, "did not answer in HTTP/1.1"),
        (lambda _: [Do.RESET], 0, "closed the connection"),
        (lambda _: [Do.HANG], 0, "no answer within"),
    ],
)  # fmt: skip
def test_anything_but_2xx_in_time_is_a_failure_in_words(
    answer: Callable[[Request], Iterable[Step]], status: int, error: str
) -> None:
    outcome, requests = posted(answer, timeout_s=0.3)
    assert (outcome.ok, outcome.status, outcome.is_gone) == (False, status, False)
    assert error in outcome.error
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("headers", "wait_s"), [("retry-after: 120\r\n", 120.0), ("Retry-After: 0.5\r\n", 0.5), ("", None)]
)
def test_how_long_the_receiver_wants_to_be_left_alone_is_heard(headers: str, wait_s: float | None) -> None:
    outcome, _ = posted(answering(503, headers=headers))
    assert outcome.retry_after_s == wait_s


def test_a_receiver_that_is_gone_says_so_with_410() -> None:
    outcome, _ = posted(answering(410))
    assert outcome.is_gone


def test_an_endless_answer_is_not_read() -> None:
    started = time.monotonic()
    outcome, _ = posted(lambda _: [b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n", b"x" * 200_000, Do.HANG])
    assert outcome.ok
    assert time.monotonic() - started < 30


def test_an_address_that_is_not_allowed_is_never_connected_to() -> None:
    outcome, requests = posted(answering(200), allow=())
    assert not outcome.ok
    assert "no public address" in outcome.error
    assert requests == []


def test_a_secret_that_cannot_be_read_sends_nothing() -> None:
    outcome, requests = posted(answering(200), secret="lost")
    assert (outcome.ok, outcome.error) == (False, "A stored secret cannot be read.")
    assert requests == []
