"""Users' functions as jobs: arguments are checked before, results are JSON, threads stop when they look."""

import asyncio
import threading
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from tests.support.jobs import row
from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.jobs.functions import FunctionHandler, functions_in, job
from undercroft.jobs.handlers import JobContext, JobStopped
from undercroft.jobs.types import Limits

USUAL = Limits(timeout_us=60_000_000)


def handler_of(function: Any) -> FunctionHandler:
    module = ModuleType("mine")
    module.__dict__["function"] = function
    (handler,) = functions_in(module, USUAL)
    return handler


def run(function: Any, input: str) -> bytes:
    async def scenario() -> bytes:
        asked = row(input=input)
        return await handler_of(function).run(asked, JobContext(asked))

    return asyncio.run(scenario())


@job("add")
def add(left: int, right: int = 1, *, names: list[str] | None = None) -> dict[str, Any]:
    return {"sum": left + right, "names": names}


@job("greet", max_attempts=2, timeout_s=5, soft_timeout_s=4, deadline_s=60)
async def greet(name: str, context: JobContext) -> str:
    context.output(name)
    return f"Hello {name}, {context.job.kind}"


def test_fields_are_parameters_and_what_is_returned_is_the_result() -> None:
    assert run(add, '{"left": 2}') == b'{"sum":3,"names":null}'
    assert run(greet, '{"name": "Ada"}') == b'"Hello Ada, echo"'


@pytest.mark.parametrize(
    ("input", "param"),
    [(b'{"left": "2"}', "left"), (b"{}", "left"), (b"[]", None), (b'{"left": 1, "names": [1]}', "names[0]")],
)
def test_arguments_are_checked_before_a_job_is_accepted(input: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        handler_of(add).check(input)
    assert refused.value.param == param


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="lefft"):
        handler_of(add).check(b'{"left": 1, "lefft": 2}')


def test_a_function_says_its_limits_and_the_settings_say_the_rest() -> None:
    assert handler_of(add).limits == USUAL
    limits = handler_of(greet).limits
    assert limits == Limits(max_attempts=2, lifetime_us=60_000_000, soft_timeout_us=4_000_000, timeout_us=5_000_000)


class Point(BaseModel):
    x: int
    y: int = 0


def test_pydantic_models_are_arguments_and_results() -> None:
    @job("move")
    def move(point: Point) -> Point:
        return Point(x=point.x + 1, y=point.y)

    assert run(move, '{"point": {"x": 1}}') == b'{"x":2,"y":0}'
    with pytest.raises(InvalidRequest):
        handler_of(move).check(b'{"point": {"x": "no"}}')


def test_a_marked_function_is_still_a_function() -> None:
    assert add(1, 2) == {"sum": 3, "names": None}


def test_arguments_without_names_are_refused_when_the_module_is_loaded() -> None:
    @job("odd")
    def odd(*args: int) -> None: ...

    with pytest.raises(ConfigurationError, match="odd"):
        handler_of(odd)


def test_what_a_function_raises_is_raised() -> None:
    @job("fails")
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(fails, "{}")


def test_a_function_in_a_thread_ends_when_it_is_told_to() -> None:
    started = threading.Event()

    @job("endless")
    def endless(context: JobContext) -> None:
        while True:
            started.set()
            context.check()

    async def scenario() -> None:
        asked = row(input="{}")
        context = JobContext(asked)
        running = asyncio.create_task(handler_of(endless).run(asked, context))
        await asyncio.to_thread(started.wait)
        context.stop()
        running.cancel()
        with pytest.raises(JobStopped):
            await running

    asyncio.run(scenario())
