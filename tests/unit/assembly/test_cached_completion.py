"""A function's answers are kept by everything that changes them, one flight at a time, and never another tenant's."""

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import BaseModel

from tests.support.clock import ManualClock
from tests.support.gateway import Bench, Prompter, said
from undercroft.assembly.cached_completion import cached_completion
from undercroft.assembly.lending import Line, lent
from undercroft.ids import Ids
from undercroft.record import Who


class Options(BaseModel):
    temperature: float = 0.0


def counted() -> tuple[list[str], Any]:
    asked: list[str] = []

    @cached_completion
    def complete(prompt: str, *, model: str = "chat", options: Options | None = None) -> list[str]:
        asked.append(prompt)
        return [f"{model}: {prompt}"]

    return asked, complete


def test_the_same_arguments_are_answered_once_however_they_are_passed() -> None:
    asked, complete = counted()
    assert complete("Hi") == complete(prompt="Hi") == complete("Hi", model="chat") == ["chat: Hi"]
    assert asked == ["Hi"]
    assert complete.__name__ == "complete"


def test_everything_that_changes_the_answer_counts() -> None:
    asked, complete = counted()
    complete("Hi")
    complete("Hi ")
    complete("Hi", model="other")
    complete("Hi", options=Options())
    complete("Hi", options=Options(temperature=1.0))
    assert len(asked) == 5


def test_true_and_one_are_not_the_same() -> None:
    @cached_completion()
    def kind(value: object) -> str:
        return type(value).__name__

    assert [kind(value=True), kind(1), kind(1.0), kind("1")] == ["bool", "int", "float", "str"]


def test_a_caller_who_changes_its_answer_changes_nobody_elses() -> None:
    _, complete = counted()
    for _ in range(3):
        answer = complete("Hi")
        assert answer == ["chat: Hi"]
        answer.append("mine")


def test_an_error_is_not_kept() -> None:
    outcomes: list[str | Exception] = [ValueError("no"), "yes"]

    @cached_completion(maxsize=5)
    def complete() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(ValueError, match="no"):
        complete()
    assert [complete(), complete()] == ["yes", "yes"]


def test_answers_leave_when_their_time_or_their_room_is_up() -> None:
    clock = ManualClock()
    asked: list[str] = []

    def complete(prompt: str) -> str:
        asked.append(prompt)
        return prompt

    kept = cached_completion(maxsize=2, ttl=10, clock=clock)(complete)  # type: ignore[call-overload]
    for prompt in ("a", "b", "a", "c", "a", "b"):
        kept(prompt)
    assert asked == ["a", "b", "c", "b"]
    info = kept.cache_info()
    assert (info.hits, info.misses, info.maxsize, info.currsize) == (2, 4, 2, 2)
    clock.advance(10)
    kept("b")
    assert asked[-2:] == ["b", "b"]
    kept.cache_clear()
    assert kept.cache_info().currsize == 0


def test_threads_that_ask_the_same_at_once_cost_one_call() -> None:
    may_answer = threading.Event()
    asked: list[str] = []

    @cached_completion
    def complete(prompt: str) -> str:
        asked.append(prompt)
        assert may_answer.wait(10)
        return prompt

    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(complete, "Hi") for _ in range(5)]
        may_answer.set()
        assert {answer.result(10) for answer in answers} == {"Hi"}
    assert asked == ["Hi"]


def test_tasks_share_a_flight_and_whoever_leaves_does_not_end_it_for_the_others() -> None:
    asked: list[str] = []

    async def story() -> None:
        may_answer = asyncio.Event()

        @cached_completion
        async def complete(prompt: str) -> str:
            asked.append(prompt)
            await may_answer.wait()
            return prompt

        tasks = [asyncio.ensure_future(complete("Hi")) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        may_answer.set()
        assert await asyncio.gather(*tasks[1:]) == ["Hi", "Hi"]
        assert await complete("Hi") == "Hi"

    asyncio.run(story())
    assert asked == ["Hi"]


def test_a_flight_that_nobody_waits_for_is_ended_and_the_next_begins_anew() -> None:
    async def story() -> None:
        ended: list[str] = []

        @cached_completion
        async def complete(prompt: str) -> str:
            try:
                await asyncio.sleep(3600 if not ended else 0)
            except asyncio.CancelledError:
                ended.append(prompt)
                raise
            return prompt

        alone = asyncio.ensure_future(complete("Hi"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        alone.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert ended == ["Hi"]
        assert await complete("Hi") == "Hi"

    asyncio.run(story())


def test_no_tenant_reads_anothers_answer() -> None:
    asked, complete = counted()
    with asyncio.Runner() as runner:
        clock = ManualClock()
        bench = Bench(Prompter(said("x")), rng=random.Random(1))

        def as_tenant(organisation: str) -> None:
            line = Line(
                gateway=bench.gateway,
                ids=Ids(clock),
                clock=clock,
                timeout_s=1,
                loop=runner.get_loop(),
                who=Who(organisation=organisation),
            )
            with lent(line):
                complete("Hi")

        for organisation in ("one", "two", "one"):
            as_tenant(organisation)
    assert len(asked) == 2


def test_what_cannot_be_kept_is_refused() -> None:
    @cached_completion
    def complete(thing: object) -> str:
        return "x"

    with pytest.raises(TypeError, match="is no data"):
        complete(object())
    with pytest.raises(TypeError, match="yields pieces"):

        @cached_completion
        def pieces() -> object:
            yield "x"

    refused: list[dict[str, Any]] = [{"maxsize": 0}, {"ttl": 0}, {"ttl": -1}]
    for wrong in refused:
        with pytest.raises(ValueError, match="cached_completion takes"):
            cached_completion(**wrong)
