"""Searches for releases: in a vector store of the caller's organisation, or in a collection of the operator's."""

from typing import TYPE_CHECKING, Final

from undercroft.assembly.knowledge import Caller, KnowledgeOffice
from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, NotFound
from undercroft.gateway.call import Call
from undercroft.versions.content import RetrievalContent

if TYPE_CHECKING:
    from undercroft.vectors.filters import Filter
    from undercroft.vectors.search import Mode

ENDPOINT: Final = "retrieval"
"""What the questions' embeddings are booked under, for the release that asks."""
VECTOR_STORE: Final = "vs_"
OPERATOR: Final = "default"
"""The organisation whose collections those are that are not in a vector store."""
MODES: "Final[dict[str, Mode]]" = {"vector": "dense", "words": "words", "hybrid": "hybrid"}


class Retrieval:
    """Does what a retrieval version says."""

    def __init__(self, knowledge: KnowledgeOffice, *, usual_model: str, clock: Clock) -> None:
        """`usual_model`: what questions to a collection are embedded with where a version names none."""
        self._knowledge = knowledge
        self._usual_model = usual_model
        self._clock = clock

    async def __call__(self, content: RetrievalContent, question: str, call: Call, /) -> list[str]:
        """The passages, best first. Raises NotFound, Unavailable, InvalidRequest, and what the model raises."""
        caller = Caller(
            call.who,
            endpoint=ENDPOINT,
            traceparent=call.traceparent,
            seconds=call.deadline - self._clock.monotonic(),
            alias=call.trail.alias,
            release=call.trail.release,
        )
        if content.collection.startswith(VECTOR_STORE):
            return await self._in_store(content, question, caller)
        if call.who.organisation != OPERATOR:
            raise NotFound(f"There is no vector store '{content.collection}'.", code="unknown_vector_store")
        return await self._in_collection(content, question, caller)

    async def _in_store(self, content: RetrievalContent, question: str, caller: Caller) -> list[str]:
        from undercroft.vectors.knowledge.types import Question

        desk, finder = await self._knowledge.desk(), await self._knowledge.finder()
        store = await desk.living(caller.who, content.collection)
        if content.embedding_model not in (None, store.model):
            raise InvalidRequest(
                f"The vector store '{store.id}' is embedded with '{store.model}', not '{content.embedding_model}'.",
                code="embedding_model_differs",
            )
        asked = Question(
            texts=[question],
            limit=content.top_k,
            where=filter_of(content),
            threshold=content.least_score or 0.0,
            by_words=content.mode != "vector",
            weights=(0.0, 1.0) if content.mode == "words" else (1.0, 1.0),
        )
        found = await finder.search(store, asked, await self._knowledge.models.model_for(store.model, caller))
        only_words = content.mode == "words"
        return [_told(each.filename, each.text) for each in found if each.score > 0 or not only_words]

    async def _in_collection(self, content: RetrievalContent, question: str, caller: Caller) -> list[str]:
        from undercroft.vectors.ingestion.types import NAME, Place
        from undercroft.vectors.search import Request

        vector = None
        if content.mode != "words":
            name = content.embedding_model or self._usual_model
            model = await self._knowledge.models.model_for(name, caller)
            (vector,) = await model.embed([question])
        request = Request(
            mode=MODES[content.mode],
            vector=vector,
            text=question,
            limit=content.top_k,
            where=filter_of(content),
            threshold=content.least_score,
        )
        place = Place(organisation=caller.who.organisation, collection=content.collection)
        found = await self._knowledge.passages(place, request)
        return [_told(str(each.hit.metadata.get(NAME, "")), each.hit.text) for each in found if each.hit.text]


def filter_of(content: RetrievalContent) -> "Filter | None":
    """Raises InvalidRequest."""
    from undercroft.vectors.filters import parse

    return None if content.filter is None else parse(content.filter, param="content.filter")


def _told(name: str, text: str) -> str:
    return f"{name}:\n{text}" if name else text
