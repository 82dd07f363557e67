"""What happened, in typed form: a family of event types for each part that has something to tell.

A type is `family.what`; for jobs and batches the second word is the status that was reached.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import msgspec

EventType = Literal[
    "job.queued",
    "job.running",
    "job.waiting",
    "job.succeeded",
    "job.dead",
    "job.cancelled",
    "batch.in_progress",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "budget.warning",
    "budget.spent",
    "release.created",
    "release.started",
    "release.advanced",
    "release.paused",
    "release.resumed",
    "release.finished",
    "release.promoted",
    "release.rolled_back",
    "upstream.opened",
    "upstream.resting",
    "upstream.unhealthy",
    "upstream.closed",
    "webhook.disabled",
    "webhook.test",
]

TYPES: Final[tuple[str, ...]] = get_args(EventType)


class JobData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `job.*`."""

    id: str
    kind: str
    queue: str = ""
    attempts: int = 0
    error: str = ""
    """The code of what it failed with."""


class BatchData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `batch.*`."""

    id: str
    completed: int = 0
    failed: int = 0
    total: int = 0


class BudgetData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `budget.*`: USD as decimal strings."""

    id: str
    period: str
    spent_usd: str
    limit_usd: str


class ReleaseData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `release.*`."""

    id: str
    name: str
    version: str = ""
    reason: str = ""


class UpstreamData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `upstream.*`: a deployment as the telling process sees it."""

    id: str
    """The deployment: its model's name and its place, as in `chat/0`."""
    provider: str
    why: str = ""
    """failures, rate_limited, credential or quota."""
    rest_s: float = 0.0
    """For how long it is left alone."""


class WebhookData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `webhook.*`."""

    id: str
    url: str = ""
    reason: str = ""


Data = JobData | BatchData | BudgetData | ReleaseData | UpstreamData | WebhookData

FAMILIES: Final[dict[str, type[Data]]] = {
    "job": JobData,
    "batch": BatchData,
    "budget": BudgetData,
    "release": ReleaseData,
    "upstream": UpstreamData,
    "webhook": WebhookData,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is about to be true: what a part says when it writes the change."""

    type: EventType
    data: Data
    organisation: str = "default"
    address: str = ""
    """Where it is posted, besides to those who listen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact that was written down. `subject` is the id of what it tells of: events of one subject keep their order."""

    id: str
    type: EventType
    organisation: str
    subject: str
    at_us: int
    data: Data
    address: str = ""
    """A URL that it is posted to, besides to those who listen: a job's own webhook."""


def decode_data(type: str, data: bytes | str) -> Data:
    """The typed content of a stored event."""
    return msgspec.json.decode(data, type=FAMILIES[type.partition(".")[0]])


def is_pattern(text: str) -> bool:
    """Whether it names at least one type: `*`, `family.*` or a type."""
    return any(matches((text,), each) for each in TYPES)


def matches(patterns: tuple[str, ...], type: str) -> bool:
    """Whether one of the patterns names `type`."""
    family = type.partition(".")[0]
    return any(pattern in ("*", type, f"{family}.*") for pattern in patterns)
