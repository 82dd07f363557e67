"""`/api/v1/webhooks`: who is told of events by HTTP."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from undercroft.api.manage.asking import organisation, tell
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339
from undercroft.events.repository import DeliveryView
from undercroft.events.webhooks import Webhook

Types = Annotated[list[str], Field(min_length=1, examples=[["job.*", "upstream.opened"]])]


class NewWebhook(BaseModel):
    """An address that is to be told of events."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(examples=["https://example.com/hook"])
    """https at a public address; `[egress] allow` opens others."""
    types: Types = Field(default=["*"])
    """Types of event: `job.succeeded`, `job.*` or `*`."""
    description: str = ""


class WebhookChange(BaseModel):
    """What is to be changed; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = None
    types: Types | None = None
    description: str | None = None
    enabled: bool | None = None
    """`true` also for one that was switched off after failing for days."""


class WebhookView(BaseModel):
    """An address that is told of events."""

    id: str
    url: str
    types: list[str]
    description: str
    enabled: bool
    reason: str
    """Why it is not enabled."""
    failing_since: AwareDatetime | None
    """Since when nothing could be delivered; none: the last attempt went well."""
    created_at: AwareDatetime


class MadeWebhook(WebhookView):
    """A webhook at the moment of its making."""

    secret: str
    """Signs what is sent to it; shown this once."""


class WebhookList(BaseModel):
    """All webhooks, oldest first."""

    data: list[WebhookView]


class JobSigningSecret(BaseModel):
    """What jobs' own webhooks are signed under."""

    secret: str
    """Shown this once."""


class WebhookReplay(BaseModel):
    """Which events are told again."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime
    everything: bool = False
    """Also those that were delivered; otherwise those that it has missed."""


class WebhookReplayed(BaseModel):
    """How many events are told again."""

    events: int


class WebhookTestResult(BaseModel):
    """What came of a `webhook.test`."""

    delivered: bool
    status: int | None
    """The receiver's HTTP status."""
    error: str


class WebhookAttempt(BaseModel):
    """How far an event has come."""

    event: str
    type: str
    subject: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_attempt_at: AwareDatetime | None
    status: int | None
    """The receiver's last HTTP status."""
    error: str


class WebhookDeliveries(BaseModel):
    """The latest deliveries, newest first."""

    data: list[WebhookAttempt]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()
    _webhooks(routes, undercroft)
    _deliveries(routes, undercroft)
    return routes


def _webhooks(routes: APIRouter, undercroft: Undercroft) -> None:
    events = undercroft.events

    @routes.get("/webhooks")
    async def webhooks() -> WebhookList:
        """All webhooks; their secrets are not shown."""
        return WebhookList(data=[_view(each) for each in await (await events.hooks()).listed(organisation())])

    @routes.post("/webhooks", status_code=201)
    async def create_webhook(new: NewWebhook) -> MadeWebhook:
        """Makes a webhook. The answer holds the signing secret, which is never shown again."""
        hooks = await events.hooks()
        made = await hooks.create(organisation(), url=new.url, types=new.types, description=new.description)
        tell("webhook.create", made.webhook.id, after=_view(made.webhook).model_dump(mode="json"))
        return MadeWebhook(**_view(made.webhook).model_dump(), secret=made.secret)

    @routes.post("/webhooks/job-secret", status_code=201)
    async def renew_job_secret() -> JobSigningSecret:
        """Makes the secret that jobs' own webhooks are signed under from now on; the one before is forgotten."""
        secret = await (await events.hooks()).renew_job_secret(organisation())
        tell("webhook.job_secret", "job-secret")
        return JobSigningSecret(secret=secret)

    @routes.get("/webhooks/{webhook_id}")
    async def webhook(webhook_id: str) -> WebhookView:
        """One webhook."""
        return _view(await (await events.hooks()).find(organisation(), webhook_id))

    @routes.patch("/webhooks/{webhook_id}")
    async def change_webhook(webhook_id: str, change: WebhookChange) -> WebhookView:
        """Changes a webhook, or switches it on or off. What it was still to be told when it is switched off can be
        replayed later."""
        hooks = await events.hooks()
        before = _view(await hooks.find(organisation(), webhook_id)).model_dump(mode="json")
        after = _view(await hooks.change(organisation(), webhook_id, **change.model_dump()))
        tell("webhook.change", webhook_id, before=before, after=after.model_dump(mode="json"))
        return after

    @routes.delete("/webhooks/{webhook_id}", status_code=204)
    async def delete_webhook(webhook_id: str) -> Response:
        """Deletes a webhook with its deliveries."""
        hooks = await events.hooks()
        before = _view(await hooks.find(organisation(), webhook_id))
        await hooks.remove(organisation(), webhook_id)
        tell("webhook.delete", webhook_id, before=before.model_dump(mode="json"))
        return Response(status_code=204)


def _deliveries(routes: APIRouter, undercroft: Undercroft) -> None:
    events = undercroft.events

    @routes.get("/webhooks/{webhook_id}/deliveries")
    async def webhook_deliveries(webhook_id: str) -> WebhookDeliveries:
        """How its latest events have fared."""
        found = await (await events.hooks()).history(organisation(), webhook_id)
        return WebhookDeliveries(data=[_attempted(each) for each in found])

    @routes.post("/webhooks/{webhook_id}/replay", status_code=202)
    async def replay_webhook(webhook_id: str, replay: WebhookReplay) -> WebhookReplayed:
        """Tells it again what it has missed since then, under the events' own ids and in their order."""
        since_us = round(replay.since.timestamp() * 1_000_000)
        hooks = await events.hooks()
        count = await hooks.replay(organisation(), webhook_id, since_us=since_us, everything=replay.everything)
        tell("webhook.replay", webhook_id, after={"events": count})
        return WebhookReplayed(events=count)

    @routes.post("/webhooks/{webhook_id}/test")
    async def test_webhook(webhook_id: str) -> WebhookTestResult:
        """Posts a `webhook.test` at once and tells what came of it."""
        outcome = await (await events.hooks()).test(organisation(), webhook_id)
        tell("webhook.test", webhook_id, after={"status": outcome.status or None})
        return WebhookTestResult(delivered=outcome.ok, status=outcome.status or None, error=outcome.error)


def _view(webhook: Webhook) -> WebhookView:
    return WebhookView.model_validate(
        {
            "id": webhook.id,
            "url": webhook.url,
            "types": list(webhook.types),
            "description": webhook.description,
            "enabled": webhook.enabled,
            "reason": webhook.reason,
            "failing_since": rfc3339(webhook.failing_us) if webhook.failing_us else None,
            "created_at": rfc3339(webhook.created_us),
        }
    )


def _attempted(view: DeliveryView) -> WebhookAttempt:
    return WebhookAttempt.model_validate(
        {
            "event": view.event,
            "type": view.type,
            "subject": view.subject,
            "state": view.state,
            "attempts": view.attempts,
            "next_attempt_at": rfc3339(view.due_us) if view.state == "pending" else None,
            "status": view.status or None,
            "error": view.error,
        }
    )
