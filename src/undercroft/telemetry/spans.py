"""What a trace is made of, from the record of a call and what was noted on its way.

Names and attributes are those of OpenTelemetry's semantic conventions for generative AI, in the state of version 1.37
(all of them still "in development" there); what they have no name for begins with `undercroft.`. The table is here and
nowhere else.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from undercroft.money import format_usd
from undercroft.record import CallRecord

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


class Span(msgspec.Struct, frozen=True, kw_only=True):
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


class Step(msgspec.Struct):
    """Something that was done for a call: a stage, or an attempt at a provider. Times are monotonic seconds."""

    name: str
    id: str
    parent: str
    began: float
    ended: float = 0.0
    """0: as long as the call."""
    error: str = ""
    provider: str = ""
    """Of an attempt; empty for a stage."""
    model: str = ""
    deployment: str = ""


class Course(msgspec.Struct):
    """A call that is under way, as its trace will show it."""

    trace: str
    id: str
    parent: str
    is_sampled: bool
    began: float
    steps: list[Step] = []
    innermost: str = ""
    """The id of the step that runs now."""


def spans_of(record: CallRecord, course: Course) -> Iterator[Span]:
    """The call's own span and one for each step."""
    yield Span(
        trace=course.trace,
        id=course.id,
        parent=course.parent,
        name=_name(record),
        kind="server",
        started_us=record.started_us,
        ended_us=record.started_us + record.duration_us,
        error=record.error if record.status >= 500 else "",
        attributes=_call_attributes(record),
    )
    ended_us = record.started_us + record.duration_us
    for step in course.steps:
        started_us = record.started_us + round((step.began - course.began) * 1_000_000)
        yield Span(
            trace=course.trace,
            id=step.id,
            parent=step.parent,
            name=step.name,
            kind="client" if step.provider else "internal",
            started_us=started_us,
            ended_us=record.started_us + round((step.ended - course.began) * 1_000_000) if step.ended else ended_us,
            error=step.error,
            attributes=_step_attributes(step, record),
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


def _step_attributes(step: Step, record: CallRecord) -> dict[str, Attribute]:
    if not step.provider:
        return {"error.type": step.error} if step.error else {}
    said: dict[str, Attribute] = {
        "gen_ai.operation.name": OPERATIONS.get(record.endpoint, "chat"),
        "gen_ai.provider.name": PROVIDERS.get(step.provider, step.provider),
        "gen_ai.request.model": step.model,
        "gen_ai.request.stream": record.streamed,
        "undercroft.deployment": step.deployment,
        "error.type": step.error,
    }
    if not step.error:
        said |= _usage(record)
        said["gen_ai.response.model"] = record.upstream_model
        if record.first_token_us:
            said["gen_ai.response.time_to_first_chunk"] = record.first_token_us / 1_000_000
    return {name: value for name, value in said.items() if value not in ("", 0)}
