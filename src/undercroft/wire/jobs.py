"""`/api/v1/jobs`: what is handed in, and how a job is told."""

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from undercroft.errors import InvalidRequest
from undercroft.wire import sse
from undercroft.wire.body import invalid, read

Key = Annotated[str, Meta(min_length=1, max_length=255)]
JobStatus = Literal["queued", "running", "waiting", "succeeded", "dead", "cancelled"]
DAY_S: Final = 86_400


class JobRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A job to be done. `input` is the body of the route that `kind` is named after, or what your function takes."""

    kind: Annotated[str, Meta(min_length=1, max_length=100)]
    input: msgspec.Raw
    queue: Annotated[str, Meta(min_length=1, max_length=60)] = "default"
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    """The higher goes first."""
    run_at: str | None = None
    """Not before this moment (RFC 3339)."""
    max_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    """Runs that may fail by the job's own fault."""
    timeout_s: Annotated[float, Meta(gt=0, le=7 * DAY_S)] | None = None
    """Of one run."""
    deadline_s: Annotated[float, Meta(gt=0, le=365 * DAY_S)] | None = None
    """From now, or from `run_at`, to the end, waits and retries included."""
    idempotency_key: Key | None = None
    """The same key gives the same job."""
    unique_key: Key | None = None
    """While a job with it has not ended, that one is the answer."""
    concurrency_key: Key | None = None
    """Jobs with the same one run one after the other."""
    after: Annotated[list[str], Meta(max_length=100)] = []
    """Jobs that must have succeeded."""
    webhook: Annotated[str, Meta(max_length=2000)] | None = None
    """An address that is told when the job has ended: https and public, or what `[egress] allow` opens."""


class JobError(msgspec.Struct, kw_only=True):
    """Why the latest run failed."""

    code: str
    message: str


class JobView(msgspec.Struct, kw_only=True):
    """A job. `result` is the answer of the route of its kind."""

    id: str
    object: Literal["job"] = "job"
    kind: str
    status: JobStatus
    queue: str
    priority: int
    attempts: int
    """Runs that failed by the job's own fault."""
    max_attempts: int
    runs: int
    """All runs."""
    cancel_requested: bool
    created_at: str
    run_at: str
    started_at: str | None
    """When its latest run began."""
    finished_at: str | None
    deadline_at: str
    progress: msgspec.Raw | None
    result: msgspec.Raw | None
    error: JobError | None
    schedule: str | None
    webhook: str | None


class JobList(msgspec.Struct, kw_only=True):
    """Jobs, the latest first. The next page comes with `before` = `last_id`."""

    object: Literal["list"] = "list"
    data: list[JobView]
    last_id: str | None
    has_more: bool


class JobDelivery(msgspec.Struct, kw_only=True):
    """How an event has come along that is posted to the job's webhook."""

    event: str
    type: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_attempt_at: str | None
    status: int | None
    """The receiver's last HTTP status."""
    error: str


class JobDeliveries(msgspec.Struct, kw_only=True):
    """What is posted to the job's webhook, the latest first; nothing before the job has ended."""

    object: Literal["list"] = "list"
    data: list[JobDelivery]


class JobQuery(msgspec.Struct, kw_only=True):
    """Which jobs."""

    status: JobStatus | None = None
    kind: str | None = None
    queue: str | None = None
    before: str = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class FollowQuery(msgspec.Struct, kw_only=True):
    """From which piece of output on."""

    after: Annotated[int, Meta(ge=-1)] = -1


_decoder = msgspec.json.Decoder(JobRequest)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> JobRequest:
    """The request, or InvalidRequest."""
    asked = read(_decoder, body)
    if bytes(asked.input) == b"null":
        raise invalid("Invalid 'input': it is null.", param="input")
    if asked.webhook is not None:
        _check_url(asked.webhook)
    return asked


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable():
        raise invalid("Invalid 'webhook': expected an address such as https://example.com/hook.", param="webhook")


def moment_us(text: str, *, param: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time. Raises InvalidRequest."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest(
            f"Invalid '{param}': expected a time such as 2026-12-31T23:59:00Z.", param=param, code="invalid_value"
        )
    return round(moment.timestamp() * 1_000_000)


def encode(view: JobView | JobList | JobDeliveries) -> bytes:
    return _encode(view)


def event(name: str, data: bytes, *, number: int | None = None) -> bytes:
    """A frame of the event stream."""
    place = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%s%s" % (name.encode(), place, sse.frame(data))


def raw(text: str | None) -> Any:
    return None if text is None else msgspec.Raw(text.encode())
