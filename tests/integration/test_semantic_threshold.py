"""The usual threshold of the semantic cache, by the real embedding model, on the corpus of pairs."""

import asyncio

import numpy as np

from benchmarks.semantic import CORPUS, Pair, pairs_in, rates
from tests.support.local_models import embedder
from undercroft.cache.facts import facts_of
from undercroft.llm.types import EmbeddingsRequest
from undercroft.settings.model import Cache


async def pairs() -> list[Pair]:
    """The corpus, embedded as the cache does it."""
    model = embedder()
    try:
        found = []
        for is_same, one, other in pairs_in(CORPUS.read_text("utf-8")):
            reply = await model.embed(EmbeddingsRequest(model="local-embedding", inputs=(one, other)))
            assert reply.whole is not None
            near = float(np.dot(*(np.frombuffer(vector, np.float32) for vector in reply.whole.vectors)))
            facts = facts_of(one)
            found.append(Pair(is_same, near, has_same_facts=facts is not None and facts == facts_of(other)))
        return found
    finally:
        await model.close()


def test_the_usual_threshold_answers_what_is_the_same_and_nothing_else() -> None:
    threshold = Cache().semantic_threshold
    corpus = asyncio.run(pairs())
    assert sum(not pair.is_same for pair in corpus) >= 200
    right, wrong = rates(corpus, threshold, by_facts=True)
    assert wrong == 0
    assert right >= 0.95
    # Why the facts are compared first: the model finds near what must not be answered alike.
    assert rates(corpus, threshold, by_facts=False)[1] > 0.2
