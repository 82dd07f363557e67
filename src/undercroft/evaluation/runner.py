"""Runs a suite: asks in parallel, out of the cache where it can, and stops before it costs too much."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from undercroft.errors import UndercroftError
from undercroft.evaluation.check import Check, Checks, Tools
from undercroft.evaluation.store import AnswerStore, key_of
from undercroft.evaluation.types import Answer, Case, Mark, Run, Suite, Trial


class Subject(Protocol):
    """What is evaluated: a model, with the prompt that goes before each case."""

    model: str

    async def address(self) -> str:
        """What its answers depend on besides the case: changes when the model or prompt behind the name does."""
        ...

    async def ask(self, case: Case, /) -> Answer:
        """One answer; failures are answers with an error."""
        ...


class Purse:
    """Lets no more be begun than a cap allows, by the dearest so far. The first goes alone: until it is back, nobody
    knows what one costs. A cap of 0 allows nothing but what is in the cache."""

    def __init__(self, cap_nano: int | None) -> None:
        self.spent_nano = 0
        self._cap_nano = cap_nano
        self._dearest: int | None = None
        self._under_way = 0
        self._changed = asyncio.Condition()

    async def take(self) -> bool:
        """Waits until it is known whether one more fits; False: it does not."""
        async with self._changed:
            while not self._fits():
                if not self._under_way:
                    return False
                await self._changed.wait()
            self._under_way += 1
            return True

    def _fits(self) -> bool:
        if self._cap_nano is None:
            return True
        if self._dearest is None:
            return not self._under_way and self._cap_nano > 0
        return self.spent_nano + self._dearest * (self._under_way + 1) <= self._cap_nano

    async def give_back(self, cost_nano: int) -> None:
        """What was taken has cost this."""
        async with self._changed:
            self.spent_nano += cost_nano
            self._dearest = max(self._dearest or 0, cost_nano)
            self._under_way -= 1
            self._changed.notify_all()


class Runner:
    """One run after the other, with the same tools and cache. Without `store` everything is asked anew."""

    def __init__(
        self,
        checks: Checks,
        tools: Tools,
        *,
        store: AnswerStore | None = None,
        parallel: int = 8,
        cap_nano: int | None = None,
    ) -> None:
        self._checks = checks
        self._tools = tools
        self._store = store
        self._parallel = parallel
        self._purse = Purse(cap_nano)

    async def run(self, suite: Suite, subject: Subject, *, advance: Callable[[int], None] = lambda _: None) -> Run:
        """Every case as often as the suite says. Raises InvalidRequest before anything is asked, and what checks
        cannot go on without."""
        checks = {case.id: self._checks.of(case) for case in suite.cases}
        address = await subject.address()
        spent_before = self._purse.spent_nano
        turn = asyncio.Semaphore(self._parallel)

        async def one(case: Case, repeat: int) -> Trial | None:
            async with turn:
                trial = await self._trial(case, repeat, subject, address, checks[case.id])
                advance(1)
                return trial

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(case, repeat)) for repeat in range(suite.repeat) for case in suite.cases]
        trials = [trial for task in tasks if (trial := task.result()) is not None]
        return Run(
            suite=suite.name,
            model=subject.model,
            trials=tuple(trials),
            spent_nano=self._purse.spent_nano - spent_before,
            left_out=len(tasks) - len(trials),
        )

    async def _trial(
        self, case: Case, repeat: int, subject: Subject, address: str, checks: list[Check]
    ) -> Trial | None:
        key = key_of(address, case.messages, case.variables, repeat)
        kept = self._store.get(key) if self._store is not None else None
        if kept is not None:
            marks = await self._marked(case, kept, checks, key)
            return None if marks is None else Trial(case=case.id, repeat=repeat, answer=kept, marks=marks, cached=True)
        if not await self._purse.take():
            return None
        cost_nano = 0
        try:
            answer = await subject.ask(case)
            cost_nano = answer.cost_nano
        finally:
            await self._purse.give_back(cost_nano)
        if self._store is not None:
            self._store.put(key, answer)
        marks = () if answer.error else await self._marked(case, answer, checks, key)
        return None if marks is None else Trial(case=case.id, repeat=repeat, answer=answer, marks=marks)

    async def _marked(self, case: Case, answer: Answer, checks: list[Check], key: str) -> tuple[Mark, ...] | None:
        """None where the cost cap leaves no room for a judge."""
        marks = []
        for number, check in enumerate(checks):
            if not check_costs(check):
                mark: Mark | None = await self._said(check, case, answer)
            else:
                mark = await self._paid(check, case, answer, key_of(key, case.expected, case.checks[number]))
            if mark is None:
                return None
            marks.append(mark)
        return tuple(marks)

    async def _paid(self, check: Check, case: Case, answer: Answer, key: str) -> Mark | None:
        """What a judge says costs too, and is kept beside the answers."""
        kept = self._store.get(key) if self._store is not None else None
        if kept is not None:
            return msgspec.json.decode(kept.text, type=Mark)
        if not await self._purse.take():
            return None
        cost_nano = 0
        try:
            mark = await self._said(check, case, answer)
            cost_nano = mark.cost_nano
        finally:
            await self._purse.give_back(cost_nano)
        if self._store is not None and not mark.failed:
            self._store.put(key, Answer(text=msgspec.json.encode(mark).decode()))
        return mark

    async def _said(self, check: Check, case: Case, answer: Answer) -> Mark:
        try:
            return await check.mark(case, answer, self._tools)
        except UndercroftError as error:
            return Mark(check=type(check).__name__.lower(), passed=False, score=0.0, note=str(error), failed=True)


def check_costs(check: Check) -> bool:
    """Whether it asks a model that is paid for, and says in its marks what that has cost."""
    return bool(getattr(check, "costs", False))
