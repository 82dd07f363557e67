"""Searches vector stores ahead of an answer, for models that have no `file_search` of their own."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from undercroft.assembly.knowledge import Caller, KnowledgeOffice
from undercroft.errors import NotFound
from undercroft.gateway.call import Model
from undercroft.llm.types import ChatRequest
from undercroft.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from undercroft.wire.openai import responses as wire  # imported where it is used, as in assembly/responses.py

USUAL_CONTEXT: Final = 16_000
"""Tokens, of a model that does not say how many it takes."""
SHARE: Final = 2
"""The part of a model's context that passages may fill is one in so many."""


class Led(NamedTuple):
    """A request with what was found for it."""

    request: ChatRequest
    retrieved: "wire.Retrieved | None"


class FileSearch:
    """The `file_search` tool over our own vector stores. Those of a provider that has some are left to it."""

    def __init__(self, knowledge: KnowledgeOffice, *, tracing: Tracing) -> None:
        self._knowledge = knowledge
        self._tracing = tracing

    async def is_ours(self, asked: "wire.Asked", caller: Caller, *, model: Model) -> bool:
        """Whether to search here. Raises NotFound for a vector store that nobody knows."""
        from undercroft.wire.openai import responses as wire

        tool = wire.asked_search(asked.body)
        if tool is None:
            return False
        desk = await self._knowledge.desk()
        try:
            for store in tool.vector_store_ids:
                await desk.living(caller.who, store)
        except NotFound:
            if any(deployment.speaks_responses for deployment in model.deployments):
                return False
            raise
        return True

    async def lead(self, asked: "wire.Asked", request: ChatRequest, caller: Caller, *, model: Model) -> Led:
        """The request behind what was found for it. Raises InvalidRequest, NotFound, and what the models raise."""
        from undercroft.wire.openai import responses as wire

        tool, question = wire.asked_search(asked.body), wire.question_in(request)
        if tool is None or not question:
            return Led(wire.without_search(request), None)
        with self._tracing.around(caller.traceparent, "file search", "internal", {}) as below:
            found = await self._found(tool, question, replace(caller, traceparent=below))
        retrieved = wire.Retrieved(
            queries=[question], passages=tuple(found), tells_results=wire.RESULTS in (asked.body.include or ())
        )
        context = model.notes.get("context_length")
        tokens = (context if isinstance(context, int) else USUAL_CONTEXT) // SHARE
        return Led(*wire.with_passages(request, retrieved, most_tokens=tokens))

    async def _found(self, tool: "wire.FileSearchBody", question: str, caller: Caller) -> "list[wire.Cited]":
        from undercroft.vectors.filters import parse
        from undercroft.vectors.knowledge.finding import merged
        from undercroft.vectors.knowledge.types import Question
        from undercroft.wire.openai import responses as wire

        ranking = tool.ranking_options
        hybrid = ranking.hybrid_search if ranking else None
        asked = Question(
            texts=[question],
            limit=tool.max_num_results,
            where=None if tool.filters is None else parse(tool.filters, param="tools.filters"),
            threshold=(ranking.score_threshold if ranking else None) or 0.0,
            by_words=ranking is None or ranking.ranker != "none",
            weights=(hybrid.embedding_weight, hybrid.text_weight) if hybrid else (1.0, 1.0),
        )
        desk, finder = await self._knowledge.desk(), await self._knowledge.finder()
        stores = [await desk.living(caller.who, store) for store in dict.fromkeys(tool.vector_store_ids)]
        models = {store.model: await self._knowledge.models.model_for(store.model, caller) for store in stores}
        several = await asyncio.gather(*(finder.search(store, asked, models[store.model]) for store in stores))
        return [
            wire.Cited(
                file_id=passage.file,
                filename=passage.filename,
                score=passage.score,
                attributes=dict(passage.attributes),
                text=passage.text,
            )
            for passage in merged(several, limit=tool.max_num_results)
        ]
