"""Checks that ask another model: similar, judge, moderation; and `python`, which asks a function of yours."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from undercroft.errors import UndercroftError
from undercroft.evaluation.check import Tools, marked
from undercroft.evaluation.types import Answer, Asking, Case, Mark, Message

_VERDICT: Final = re.compile(r"\b(A|B|TIE|YES|NO)\b")
_STRICT: Final = Asking(temperature=0.0)

_PAIR: Final = """You compare two answers to the same question. {rubric}
Question:
{question}

Answer A:
{first}

Answer B:
{second}

Which one is better? Reply with one word: A, B or TIE."""

_ALONE: Final = """You judge an answer to a question. {rubric}
Question:
{question}

Answer:
{answer}

Does the answer meet this? Reply with one word: YES or NO."""


class Similar:
    """The answer means nearly the same as a text: cosine of their embeddings. `{"to": …, "at_least": 0.8}`; without
    `to` it is the case's `expected`. `model` is `local-embedding` unless given."""

    def __init__(self, value: object) -> None:
        fields: dict[str, Any] = value if isinstance(value, dict) else {"at_least": value}
        self._to, self._model = fields.get("to"), str(fields.get("model", "local-embedding"))
        least = fields.get("at_least")
        self._least = 0.8 if least is None else float(least)

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        wanted = str(self._to if self._to is not None else case.expected or "")
        first, second = await tools.embed(self._model, [wanted, answer.text or " "])
        cosine = sum(one * other for one, other in zip(first, second, strict=True))
        return marked("similar", cosine >= self._least, f"cosine {cosine:.3f}", score=max(0.0, min(1.0, cosine)))


class Judge:
    """A model says whether the answer meets a rubric, or, with `against` (else the case's `expected`), whether it is
    at least as good as another answer.

    Pairs are judged twice with places swapped, since judges prefer one place: who wins both wins, anything else is a
    tie. `{"rubric": …, "model": …, "against": …}`; `"pairwise": false` leaves `expected` aside.
    """

    costs = True

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict) or not value.get("model"):
            raise ValueError("it wants a model, and a rubric")
        self._model, self._rubric = str(value["model"]), str(value.get("rubric", ""))
        self._against = value.get("against")
        self._is_pairwise = bool(value.get("pairwise", True))

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        other = self._against if self._against is not None else case.expected if self._is_pairwise else None
        if other is None:
            text = _ALONE.format(rubric=self._rubric, question=case.question, answer=answer.text)
            said, cost_nano = await self._ask(text, tools)
            return marked("judge", said == "YES", f"the judge says {said or 'nothing'}", cost_nano=cost_nano)
        ours_first, first_nano = await self._pair(case, answer.text, str(other), tools)
        ours_second, second_nano = await self._pair(case, str(other), answer.text, tools)
        result = outcome(ours_first, ours_second)
        score = {"win": 1.0, "tie": 0.5, "loss": 0.0}[result]
        return marked("judge", result != "loss", result, score=score, cost_nano=first_nano + second_nano)

    async def _pair(self, case: Case, first: str, second: str, tools: Tools) -> tuple[str, int]:
        return await self._ask(
            _PAIR.format(rubric=self._rubric, question=case.question, first=first, second=second), tools
        )

    async def _ask(self, text: str, tools: Tools) -> tuple[str, int]:
        answer = await tools.ask(self._model, [Message(content=text)], _STRICT)
        if answer.error:
            raise UndercroftError(f"The judge '{self._model}' did not answer: {answer.error}", code="judge_failed")
        found = _VERDICT.findall(answer.text.upper())
        return (found[-1] if found else ""), answer.cost_nano


def outcome(ours_first: str, ours_second: str) -> Literal["win", "tie", "loss"]:
    """Of both orders: ours stands at A first, at B then."""
    if (ours_first, ours_second) == ("A", "B"):
        return "win"
    if (ours_first, ours_second) == ("B", "A"):
        return "loss"
    return "tie"


class Moderation:
    """A moderation model finds nothing in the answer. `{"model": …, "categories": […]}`; `local-moderation` judges by
    rules, unless another is named."""

    def __init__(self, value: object) -> None:
        fields = value if isinstance(value, dict) else {}
        self._model = str(fields.get("model", "local-moderation"))
        self._categories = frozenset(map(str, fields.get("categories", ())))

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        said = await tools.moderate(self._model, answer.text)
        found = [each for each in said.categories if not self._categories or each in self._categories]
        return marked("moderation", not found, ", ".join(found))


class Python:
    """A function of yours, `module:name`, says: it is called with the case and the answer, and returns a bool, a score
    from 0 to 1 (0.5 passes), or a Mark. Its module is looked for where you are, too."""

    def __init__(self, value: object) -> None:
        module, colon, name = str(value).partition(":")
        if not colon:
            raise ValueError("it wants module:function")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            self._function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{value} cannot be imported: {error}") from error
        self._name = str(value)

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        try:
            said = self._function(case, answer)
        except Exception as error:  # noqa: BLE001 - a stranger's code, whose faults are a result like any other
            return marked(self._name, passed=False, note=f"{type(error).__name__}: {error}")
        if isinstance(said, Mark):
            return msgspec.structs.replace(said, check=said.check or self._name)
        if isinstance(said, bool):
            return marked(self._name, said)
        return marked(self._name, float(said) >= 0.5, score=float(said))
