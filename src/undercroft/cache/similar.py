"""Finds answers to questions that say the same in other words: the facts must agree, and then the vectors."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from undercroft.cache.facts import Facts, facts_of
from undercroft.clock import Clock
from undercroft.llm.types import ChatRequest, Message

Vector = Sequence[float]
Embed = Callable[[Sequence[str]], Awaitable[Sequence[Vector]]]
"""A vector of length 1 for each text. Raises Unavailable."""

MOST_OF_ONE: Final = 8
"""Wordings of the same facts that are remembered."""


class Question(msgspec.Struct, frozen=True):
    """What a request asks last, and a name for everything else about it: organisation, model, parameters, what was
    said before. Only questions of the same `around` are ever compared."""

    around: str
    text: str


class _Known(msgspec.Struct):
    text: str
    id: str
    expires_us: int
    vector: Vector | None = None
    """Made when the first question of the same facts comes."""


class Similar:
    """Remembers questions of this process, with the ids of their answers; a text leaves it with its answer's time."""

    def __init__(self, embed: Embed, *, threshold: float, max_questions: int, clock: Clock) -> None:
        """`threshold` is the least cosine similarity, in [0, 1]."""
        self._embed = embed
        self._threshold = threshold
        self._max = max_questions
        self._clock = clock
        self._known: OrderedDict[tuple[str, Facts], list[_Known]] = OrderedDict()

    async def find(self, question: Question) -> str | None:
        """The id of the answer to the nearest question of the same facts. Raises Unavailable."""
        facts = facts_of(question.text)
        if facts is None:
            return None
        place = (question.around, facts)
        now_us = self._clock.now_us()
        candidates = [known for known in self._known.get(place, ()) if known.expires_us > now_us]
        if not candidates:
            self._known.pop(place, None)
            return None
        self._known.move_to_end(place)
        unknown = [known for known in candidates if known.vector is None]
        own, *made = await self._embed([question.text, *(known.text for known in unknown)])
        for known, vector in zip(unknown, made, strict=True):
            known.vector = vector
        nearness, best = max((_cosine(own, known.vector or ()), known.id) for known in candidates)
        return best if nearness >= self._threshold else None

    def add(self, question: Question, id: str, *, expires_us: int) -> None:
        """Remembers the question; the answer itself is in the store under `id`."""
        facts = facts_of(question.text)
        if facts is None:
            return
        place = (question.around, facts)
        others = [known for known in self._known.get(place, ()) if known.id != id][-(MOST_OF_ONE - 1) :]
        self._known[place] = [*others, _Known(question.text, id, expires_us)]
        self._known.move_to_end(place)
        while len(self._known) > self._max:
            self._known.popitem(last=False)

    def forget(self, question: Question, id: str) -> None:
        """The answer is no longer there."""
        facts = facts_of(question.text)
        if facts is not None and (known := self._known.get((question.around, facts))):
            known[:] = [each for each in known if each.id != id]


def question_of(request: ChatRequest) -> tuple[ChatRequest, str] | None:
    """The request without its last question, and that; None where it does not end in a user's plain words."""
    *before, last = request.messages or (Message(role=""),)
    if last.role != "user" or not isinstance(last.content, str) or not last.content.strip():
        return None
    emptied = msgspec.structs.replace(last, content="")
    return msgspec.structs.replace(request, messages=(*before, emptied), source=None), last.content


def _cosine(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
