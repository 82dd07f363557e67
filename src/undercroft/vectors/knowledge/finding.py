"""Asks vector stores: by meaning and words, among what their files' attributes let through."""

from collections.abc import Sequence
from functools import partial

from undercroft.clock import Clock
from undercroft.vectors.filters import And, Eq
from undercroft.vectors.ingestion import repository as sources
from undercroft.vectors.ingestion import visible
from undercroft.vectors.ingestion.embedding import Model
from undercroft.vectors.ingestion.remove import Transactions
from undercroft.vectors.ingestion.types import GENERATION, NAME, NUMBER, RESERVED, SOURCE
from undercroft.vectors.knowledge import repository
from undercroft.vectors.knowledge.types import Knowledge, Passage, Question
from undercroft.vectors.search import Found, Request, Weights
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import Point

PAGE_POINTS = 500


class Finder:
    """Searches vector stores, and shows what is in their files."""

    def __init__(self, database: Transactions, store: VectorStore, *, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    async def search(self, knowledge: Knowledge, question: Question, model: Model) -> list[Passage]:
        """The best passages, best first; of several texts, what is best for any. Raises InvalidRequest.

        Scores are cosine similarities; where words count too, the share of the best rank in both that there can be
        (`vectors/search.py`).
        """
        vectors = await model.embed(question.texts)
        is_hybrid = question.by_words and self._store.abilities.has_text_search
        best: dict[str, Found] = {}
        for text, vector in zip(question.texts, vectors, strict=True):
            request = Request(
                mode="hybrid" if is_hybrid else "dense",
                vector=vector,
                text=text,
                limit=question.limit,
                where=question.where,
                weights=Weights(*question.weights),
            )
            for found in await visible.search(self._store, self._database, knowledge.place, request):
                former = best.get(found.hit.id)
                if former is None or former.hit.score < found.hit.score:
                    best[found.hit.id] = found
        await self._touch(knowledge)
        ranked = sorted(best.values(), key=lambda found: -found.hit.score)[: question.limit]
        return [passage for found in ranked if (passage := _passage(found)).score >= question.threshold]

    async def texts(self, knowledge: Knowledge, file: str) -> list[str]:
        """The chunks of a file in their order, as they were embedded."""
        known = await self._database.read(partial(sources.find, place=knowledge.place, source=file))
        if known is None or not known.generation:
            return []
        points: list[Point] = []
        after: str | None = None
        while True:
            page = await self._store.scroll(
                knowledge.collection,
                where=And((Eq(SOURCE, file), Eq(GENERATION, known.generation))),
                namespace=knowledge.id,
                after=after,
                limit=PAGE_POINTS,
            )
            points += page.points
            if page.next is None:
                break
            after = page.next
        return [point.text or "" for point in sorted(points, key=_number)]

    async def _touch(self, knowledge: Knowledge) -> None:
        now_us = self._clock.now_us()
        if now_us - knowledge.active_us >= repository.ACTIVE_AGAIN_US:
            await self._database.write(partial(repository.touch, used=knowledge, now_us=now_us))


def _number(point: Point) -> int:
    number = point.metadata.get(NUMBER)
    return int(number) if isinstance(number, int | float) else 0


def _passage(found: Found) -> Passage:
    metadata = found.hit.metadata
    return Passage(
        file=str(metadata.get(SOURCE, "")),
        filename=str(metadata.get(NAME, "")),
        score=min(1.0, max(0.0, found.hit.score)),
        attributes={name: value for name, value in metadata.items() if name not in RESERVED},
        text=found.hit.text or "",
    )


def merged(passages: Sequence[Sequence[Passage]], *, limit: int) -> list[Passage]:
    """The best of several vector stores."""
    every = [passage for several in passages for passage in several]
    return sorted(every, key=lambda passage: -passage.score)[:limit]
