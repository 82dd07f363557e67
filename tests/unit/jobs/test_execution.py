"""One run of one job: however it is broken off, it comes out once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.jobs import row
from undercroft.errors import InvalidRequest
from undercroft.jobs.execution import LATE, Execution, Why
from undercroft.jobs.handlers import JobContext
from undercroft.jobs.types import Failed, Job, Limits, Outcome, Released, Stopped, Succeeded


class Does:
    """A handler that does as it is told."""

    kind = "echo"
    limits = Limits()

    def __init__(self, act: Callable[[JobContext], Awaitable[bytes]]) -> None:
        self._act = act

    def check(self, input: bytes, /) -> str:
        return ""

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        return await self._act(context)


def outcomes_of(
    act: Callable[[JobContext], Awaitable[bytes]], then: Callable[[Execution], Any] = lambda _: None, **limits: int
) -> list[Outcome | None]:
    """How a run came out; `then` is done to it once it has begun."""
    seen: list[Outcome | None] = []

    async def scenario() -> None:
        over = asyncio.Event()

        def ended(_: Execution, outcome: Outcome | None) -> None:
            seen.append(outcome)
            over.set()

        execution = Execution(row(**limits), Does(act), ended)
        then(execution)
        await over.wait()
        await asyncio.sleep(0)

    asyncio.run(scenario())
    return seen


async def forever(_: JobContext) -> bytes:
    await asyncio.Event().wait()
    return b""


async def stubborn(context: JobContext) -> bytes:
    while not context.is_over:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            continue
    return b""


async def one(_: JobContext) -> bytes:
    return b"1"


async def refuses(_: JobContext) -> bytes:
    raise InvalidRequest("no")


def test_what_a_handler_returns_is_the_result() -> None:
    assert outcomes_of(one) == [Succeeded(b"1")]


def test_what_it_raises_is_the_failure() -> None:
    (outcome,) = outcomes_of(refuses)
    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "invalid_request"


@pytest.mark.parametrize(
    ("why", "outcome"),
    [("cancelled", Stopped()), ("released", Released()), ("fenced", None), ("late", Failed(LATE))],
)
@pytest.mark.parametrize("has_begun", [True, False])
def test_a_run_that_is_broken_off_says_why_even_before_its_first_step(
    why: Why, outcome: Outcome | None, has_begun: bool
) -> None:
    def stop(execution: Execution) -> None:
        if has_begun:
            asyncio.get_running_loop().call_later(0, execution.stop, why)
        else:
            execution.stop(why)

    assert outcomes_of(forever, stop) == [outcome]


def test_the_first_reason_counts_and_a_result_counts_most() -> None:
    def stop_twice(execution: Execution) -> None:
        execution.stop("cancelled")
        execution.stop("released")

    assert outcomes_of(forever, stop_twice) == [Stopped()]


def test_a_run_that_does_not_end_is_given_up_at_its_time() -> None:
    assert outcomes_of(stubborn, timeout_us=1) == [Failed(LATE)]


def test_a_run_is_told_to_end_at_its_soft_time() -> None:
    assert outcomes_of(forever, soft_timeout_us=1) == [Failed(LATE)]


def test_what_was_said_is_said_once() -> None:
    async def scenario() -> None:
        execution = Execution(row(), Does(forever), lambda *_: None)
        execution.context.output({"a": 1})
        execution.context.progress(1, 2, "half")
        saying = execution.saying()
        assert saying is not None
        assert (saying.first, saying.pieces, saying.progress) == (
            0,
            ('{"a":1}',),
            '{"done":1,"total":2,"message":"half"}',
        )
        execution.note_said(saying)
        assert execution.saying() is None
        execution.context.output(2)
        saying = execution.saying()
        assert saying is not None
        assert (saying.first, saying.pieces, saying.progress) == (1, ("2",), None)
        execution.stop("cancelled")
        await asyncio.sleep(0)

    asyncio.run(scenario())
