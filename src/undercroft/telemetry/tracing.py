"""Which calls are traced, and where their traces go; spans are made from records, off the calls' way."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Final, Protocol

import msgspec

from undercroft.clock import Clock
from undercroft.errors import UndercroftError
from undercroft.record import CallRecord
from undercroft.telemetry.spans import Attempt, Attribute, Course, Span, SpanKind, Stage, spans_of
from undercroft.telemetry.trace_context import TraceContext, current, for_later, is_sampled, read, under

MOST_OPEN: Final = 100_000
"""Calls under way of which the course is noted; every call ends, so this is only a fence."""
_NO_ZEROS: Final = 1 << 64 | 1
"""A bit of a trace's id and one of a span's, drawn as one number: the standard forbids ids of nothing but zeros."""
_NO_ZERO_IDS: Final = _NO_ZEROS << 64 | 1
"""The same with a second span's."""


class Sink(Protocol):
    """Takes spans without ever making anybody wait."""

    @property
    def dropped(self) -> int:
        """Spans lost so far."""
        ...

    @property
    def most_at_once(self) -> int:
        """Of more offers than this in one go only the last stay."""
        ...

    def offer(self, make: Callable[[], Sequence[Span]], count: int, /) -> None:
        """Spans to be made, about so many, when there is time; called from the event loop."""
        ...


class Ids(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Of a call's trace, its span and that of its one attempt; all empty where it leaves none."""

    trace: str = ""
    span: str = ""
    attempt: str = ""
    is_sampled: bool = False


class Sketch(Protocol):
    """What becomes a course if anybody wants to see it."""

    @property
    def is_sampled(self) -> bool: ...
    def course(self) -> Course: ...


class Tracing:
    """Notes what is done for each call. `sink` None: nothing is traced, and nobody pays for it."""

    def __init__(self, sink: Sink | None, *, ratio: float, slow_s: float, clock: Clock, rng: random.Random) -> None:
        self._sink = sink
        self._ratio = ratio
        self._slow_us = round(slow_s * 1_000_000)
        self._clock = clock
        self._rng = rng
        self._open: dict[str, Course] = {}
        self._sketched: dict[str, Sketch] = {}
        """Of calls that have ended, in the short time until their records are told of."""

    @property
    def is_on(self) -> bool:
        return self._sink is not None

    # Calls.

    def begin(self, call: str, *, traceparent: str, began: float) -> Course:
        """A call begins, below the span that its caller names, or in a trace of its own."""
        course = self.course(traceparent, began=began)
        self.follow(call, course)
        return course

    def course(self, traceparent: str, *, began: float) -> Course:
        """That of a call which is only followed once it is sure to be one (`follow`)."""
        caller = read(traceparent) if traceparent else None
        if caller is not None:
            return Course(caller.trace, self._id(64), caller.span, caller.sampled, began)
        drawn = f"{self._rng.getrandbits(192) | _NO_ZEROS:048x}"
        trace = drawn[:32]
        return Course(trace, drawn[32:], "", is_sampled(trace, self._ratio), began)

    def follow(self, call: str, course: Course) -> None:
        """Notes from now on what is done for a call."""
        if len(self._open) < MOST_OPEN:
            self._open[call] = course

    def drawn(self) -> Ids:
        """Those of a call that is below nobody."""
        drawn = (self._rng.getrandbits(256) | _NO_ZERO_IDS).to_bytes(32, "big").hex()
        trace = drawn[:32]
        return Ids(trace, drawn[32:48], drawn[48:], self._ratio >= 1 or is_sampled(trace, self._ratio))

    def sketch(self, call: str, sketch: Sketch) -> None:
        """What was done for a call that ends now."""
        self._sketched[call] = sketch

    def came_to(self, call: str, stage: str) -> None:
        """A call comes to a stage."""
        course = self._open.get(call)
        if course is not None and course.is_sampled:
            course.steps.append(Stage(stage, self._clock.monotonic()))

    def attempt(self, call: str, *, provider: str, model: str, deployment: str) -> tuple[Attempt, TraceContext] | None:
        """A provider is asked; with what it is to be told. None for a call that nobody has begun."""
        course = self._open.get(call)
        return None if course is None else self.attempt_of(course, call, provider, model, deployment)

    def attempt_of(
        self, course: Course, call: str, provider: str, model: str, deployment: str
    ) -> tuple[Attempt, TraceContext]:
        """The same of a call whose course is at hand."""
        attempt = Attempt(self._id(64), self._clock.monotonic(), provider, model, deployment)
        course.steps.append(attempt)
        return attempt, TraceContext(course.trace, attempt.id, course.is_sampled, call)

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        """It has not done."""
        attempt.ended, attempt.error = self._clock.monotonic(), code_of(error)

    def ended(self, records: list[CallRecord]) -> None:
        """Calls have ended: those that are sampled, failed by our or a provider's fault, or slow go to the sink."""
        if self._sink is None:
            return
        wanted = []
        for record in records:
            sketch = self._sketched.pop(record.id, None)
            known = sketch or self._open.pop(record.id, None) or self._refused(record)
            if known.is_sampled or record.status >= 500 or record.duration_us >= self._slow_us:
                wanted.append((record, known))
        for record, known in wanted[-self._sink.most_at_once :]:
            course = known if isinstance(known, Course) else known.course()
            self._sink.offer(partial(_made, record, course), 1 + len(course.passed) + len(course.steps))

    def _refused(self, record: CallRecord) -> Course:
        """Of a call that was turned away before it became one."""
        trace = record.trace or self._id(128)
        return Course(trace=trace, id=self._id(64), parent="", is_sampled=is_sampled(trace, self._ratio), began=0.0)

    # Other work.

    def handed_in(self, traceparent: str, name: str) -> str:
        """What a job is to be below: the span of handing it in; without tracing, what the caller named."""
        caller = read(traceparent)
        if self._sink is None:
            return traceparent if caller else ""
        now_us = self._clock.now_us()
        context = self._below(caller)
        self._add(context, caller, name, "producer", now_us, now_us, None, {})
        return context.header()

    @contextmanager
    def around(
        self, traceparent: str, name: str, kind: SpanKind, attributes: dict[str, Attribute], *, call: str = ""
    ) -> Iterator[str]:
        """A span around the block; gives the `traceparent` of what is done in it, for the request `call`."""
        if self._sink is None:
            with under(for_later(traceparent, call)) if traceparent else nullcontext():
                yield traceparent
            return
        caller = read(traceparent) or current.get()
        context = self._below(caller)._replace(call=call or (caller.call if caller else ""))
        started_us, began = self._clock.now_us(), self._clock.monotonic()
        token = current.set(context)
        failure: BaseException | None = None
        try:
            yield context.header()
        except BaseException as error:
            failure = error
            raise
        finally:
            current.reset(token)
            took_us = round((self._clock.monotonic() - began) * 1_000_000)
            self._add(context, caller, name, kind, started_us, started_us + took_us, failure, attributes)

    def _below(self, caller: TraceContext | None) -> TraceContext:
        trace = caller.trace if caller else self._id(128)
        return TraceContext(trace, self._id(64), caller.sampled if caller else is_sampled(trace, self._ratio))

    def _add(
        self,
        context: TraceContext,
        caller: TraceContext | None,
        name: str,
        kind: SpanKind,
        started_us: int,
        ended_us: int,
        failure: BaseException | None,
        attributes: dict[str, Attribute],
    ) -> None:
        is_failure = isinstance(failure, Exception)
        if self._sink is None or not (context.sampled or is_failure or ended_us - started_us >= self._slow_us):
            return
        code = code_of(failure) if failure is not None and is_failure else ""
        span = Span(
            trace=context.trace,
            id=context.span,
            parent=caller.span if caller else "",
            name=name,
            kind=kind,
            started_us=started_us,
            ended_us=ended_us,
            error=code,
            attributes=attributes | ({"error.type": code} if code else {}),
        )
        self._sink.offer(lambda: [span], 1)

    def _id(self, bits: int) -> str:
        drawn = self._rng.getrandbits(bits) or 1
        return f"{drawn:032x}" if bits == 128 else f"{drawn:016x}"


def _made(record: CallRecord, course: Course) -> list[Span]:
    return list(spans_of(record, course))


def code_of(error: BaseException) -> str:
    """What an error is called in a trace; never its message, which may hold what a stranger sent."""
    return error.code if isinstance(error, UndercroftError) else type(error).__name__
