"""Answers and tools for evaluations, with no model behind them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from undercroft.evaluation.check import Moderated
from undercroft.evaluation.types import Answer, Asking, Case, CheckSpec, Mark, Message, Run, Suite, Trial


def case(id: str = "1", question: str = "Capital of France?", *checks: CheckSpec, expected: str | None = None) -> Case:
    return Case(id=id, messages=(Message(content=question),), checks=checks, expected=expected)


def suite(*cases: Case, repeat: int = 1) -> Suite:
    return Suite(name="suite", cases=cases, repeat=repeat)


def run_of(model: str, passed: Mapping[str, Sequence[bool]]) -> Run:
    """A run in which each case was passed like this, repeat by repeat."""
    trials = [
        Trial(
            case=name,
            repeat=repeat,
            answer=Answer(text="x", latency_ms=10, cost_nano=5),
            marks=(Mark(check="exact", passed=each, score=float(each)),),
        )
        for name, results in passed.items()
        for repeat, each in enumerate(results)
    ]
    return Run(suite="suite", model=model, trials=tuple(trials))


class Said:
    """Tools whose every answer was written down: `judge` says what a judge replies to a prompt."""

    def __init__(
        self,
        *,
        judge: Callable[[str], str] = lambda _: "",
        vectors: dict[str, list[float]] | None = None,
        flagged: Sequence[str] = (),
        found: Sequence[str] = (),
        cost_nano: int = 0,
    ) -> None:
        self._judge = judge
        self._vectors = vectors or {}
        self._flagged = tuple(flagged)
        self._found = list(found)
        self._cost_nano = cost_nano
        self.heard: list[str] = []

    async def ask(self, model: str, messages: Sequence[Message], asking: Asking, /) -> Answer:
        self.heard.append(messages[-1].content)
        said = self._judge(messages[-1].content)
        return Answer(text=said, error="" if said else "upstream_refused: no", cost_nano=self._cost_nano)

    async def embed(self, model: str, texts: Sequence[str], /) -> list[list[float]]:
        return [self._vectors[text] for text in texts]

    async def moderate(self, model: str, text: str, /) -> Moderated:
        return Moderated(bool(self._flagged), self._flagged)

    async def search(self, collection: str, query: str, count: int, /) -> list[str]:
        return self._found[:count]


class Parrot:
    """A subject that answers with the question, at a price; counts how many are asked at once."""

    model = "parrot"

    def __init__(self, *, cost_nano: int = 0, error: str = "") -> None:
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self._cost_nano = cost_nano
        self._error = error

    async def address(self) -> str:
        return "parrot 1"

    async def ask(self, case: Case, /) -> Answer:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return Answer(text=case.question, error=self._error, cost_nano=self._cost_nano)
