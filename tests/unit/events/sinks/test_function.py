"""Functions of the operator's own, plain or async, that succeed or not."""

import asyncio
import threading

import pytest

from undercroft.events.sinks.function import FunctionSink
from undercroft.events.subscribers import Subscriber, Subscription
from undercroft.events.types import Event, JobData

EVENT = Event(
    id="evt_1", type="job.dead", organisation="default", subject="job_1", at_us=1, data=JobData(id="job_1", kind="chat")
)


def sink(function: Subscriber) -> FunctionSink:
    return FunctionSink(Subscription("mine.function", ("*",), function))


def test_an_async_function_runs_in_the_loop_and_a_plain_one_in_a_thread() -> None:
    heard: list[tuple[Event, bool]] = []

    async def waits(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append((event, threading.current_thread() is threading.main_thread()))

    def blocks(event: Event) -> None:
        heard.append((event, threading.current_thread() is threading.main_thread()))

    assert asyncio.run(sink(waits).send([EVENT])).ok
    assert asyncio.run(sink(blocks).send([EVENT])).ok
    assert heard == [(EVENT, True), (EVENT, False)]


def test_what_it_raises_is_a_failed_attempt_and_logged(capfd: pytest.CaptureFixture[str]) -> None:
    def fails(event: Event) -> None:
        raise ValueError("no such thing")

    outcome = asyncio.run(sink(fails).send([EVENT]))
    assert not outcome.ok
    assert outcome.error == "ValueError: no such thing"
