"""What a trace is made of, from the record of a call and what was noted on its way.

Names and attributes are those of OpenTelemetry's semantic conventions for generative AI, in the state of version 1.37
(all of them still "in development" there); what they have no name for begins with `undercroft.`. The table is here and
nowhere else.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from undercroft.money import format_usd
from undercroft.record import CallRecord
from undercroft.telemetry.trace_context import header_of

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
Attribute = str | int | float | bool

OPERATIONS: Final[Mapping[str, str]] = {
    "/v1/embeddings": "embeddings",
    "/v1/completions": "text_completion",
    "/v1/moderations": "moderation",
}
"""`gen_ai.operation.name` by route; the others are `chat`."""
PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""`gen_ai.provider.name` where the conventions call a provider otherwise than we do."""


class Span(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One piece of work in a trace. Ids are hexadecimal, 16 and 8 bytes."""

    trace: str
    id: str
    parent: str = ""
    name: str
    kind: SpanKind = "internal"
    started_us: int
    ended_us: int
    error: str = ""
    attributes: dict[str, Attribute] = {}


class Stage(NamedTuple):
    """A stage that a call came to. Its own work lasts until the call comes to the next step."""

    name: str
    began: float
    """Monotonic seconds."""


class Attempt(msgspec.Struct, gc=False):
    """An attempt at a provider. Times are monotonic seconds."""

    id: str
    began: float
    provider: str
    model: str
    deployment: str
    ended: float = 0.0
    """0: as long as the call."""
    error: str = ""


class Course(msgspec.Struct, gc=False):
    """A call that is under way, as its trace will show it."""

    trace: str
    id: str
    parent: str
    is_sampled: bool
    began: float
    steps: list[Stage | Attempt] = []
    """In the order in which they began."""
    passed: tuple[str, ...] = ()
    """Stages that all let it through at one moment, before those steps (`api/fast_path/`)."""
    passed_at: float = 0.0

    def header(self) -> str:
        """`traceparent` of what is below it."""
        return header_of(self.trace, self.id, sampled=self.is_sampled)


def spans_of(record: CallRecord, course: Course) -> Iterator[Span]:
    """The call's own span, and below it one for each stage and attempt."""
    ended_us = record.started_us + record.duration_us
    yield Span(
        trace=course.trace,
        id=course.id,
        parent=course.parent,
        name=_name(record),
        kind="server",
        started_us=record.started_us,
        ended_us=ended_us,
        error=record.error if record.status >= 500 else "",
        attributes=_call_attributes(record),
    )
    base_us = record.started_us - round(course.began * 1_000_000)
    first_id = int(course.id, 16)
    steps = [*(Stage(name, course.passed_at) for name in course.passed), *course.steps]
    for number, step in enumerate(steps, start=1):
        started_us = base_us + round(step.began * 1_000_000)
        if isinstance(step, Stage):
            following = steps[number].began if number < len(steps) else 0.0
            yield Span(
                trace=course.trace,
                id=f"{(first_id + number) % (1 << 64) or 1:016x}",  # as random as the call's own
                parent=course.id,
                name=f"stage {step.name}",
                started_us=started_us,
                ended_us=base_us + round(following * 1_000_000) if following else ended_us,
            )
        else:
            yield Span(
                trace=course.trace,
                id=step.id,
                parent=course.id,
                name=f"attempt {step.model}",
                kind="client",
                started_us=started_us,
                ended_us=base_us + round(step.ended * 1_000_000) if step.ended else ended_us,
                error=step.error,
                attributes=_attempt_attributes(step, record),
            )


def _name(record: CallRecord) -> str:
    return f"POST {record.endpoint}" if record.endpoint.startswith("/") else record.endpoint


def _call_attributes(record: CallRecord) -> dict[str, Attribute]:
    said: dict[str, Attribute] = {
        "http.route": record.endpoint,
        "http.response.status_code": record.status,
        "undercroft.request.id": record.id,
        "undercroft.organisation": record.who.organisation,
        "undercroft.team": record.who.team,
        "undercroft.key": record.who.key,
        "enduser.id": record.who.user,
        "undercroft.model": record.model,
        "undercroft.release": record.release,
        "undercroft.attempts": record.attempts,
        "undercroft.cost.usd": format_usd(record.cost_nano),
        "undercroft.cache": record.cache,
        "error.type": record.error,
    }
    return {name: value for name, value in (said | _usage(record)).items() if value not in ("", 0)}


def _usage(record: CallRecord) -> dict[str, Attribute]:
    usage = record.usage
    return {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    }


def _attempt_attributes(attempt: Attempt, record: CallRecord) -> dict[str, Attribute]:
    said: dict[str, Attribute] = {
        "gen_ai.operation.name": OPERATIONS.get(record.endpoint, "chat"),
        "gen_ai.provider.name": PROVIDERS.get(attempt.provider, attempt.provider),
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": record.streamed,
        "undercroft.deployment": attempt.deployment,
        "error.type": attempt.error,
    }
    if not attempt.error:
        said |= _usage(record)
        said["gen_ai.response.model"] = record.upstream_model
        if record.first_token_us:
            said["gen_ai.response.time_to_first_chunk"] = record.first_token_us / 1_000_000
    return {name: value for name, value in said.items() if value not in ("", 0)}
