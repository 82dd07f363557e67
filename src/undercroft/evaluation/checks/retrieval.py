"""Checks of what a search finds: recall, MRR and nDCG at k, over a vector collection."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from undercroft.evaluation.check import Tools, marked
from undercroft.evaluation.types import Answer, Case, Mark

_METRICS: Final = ("recall", "mrr", "ndcg")


def recall(found: Sequence[str], relevant: Collection[str], count: int) -> float:
    """Share of what is relevant among the first `count`."""
    return len(set(found[:count]) & set(relevant)) / len(set(relevant))


def mrr(found: Sequence[str], relevant: Collection[str], count: int) -> float:
    """One over the place of the first that is relevant; 0 where none is among the first `count`."""
    return next((1 / place for place, each in enumerate(found[:count], 1) if each in relevant), 0.0)


def ndcg(found: Sequence[str], gains: Mapping[str, float], count: int) -> float:
    """Discounted gain (gain over log2 of place + 1; Järvelin and Kekäläinen, 2002) by that of the best order."""
    best = sorted(gains.values(), reverse=True)[:count]
    ideal = sum(gain / math.log2(place + 1) for place, gain in enumerate(best, 1))
    seen = sum(gains.get(each, 0.0) / math.log2(place + 1) for place, each in enumerate(found[:count], 1))
    return seen / ideal if ideal else 0.0


class Retrieval:
    """`{"collection": "docs", "relevant": ["a", "b"], "k": 5, "recall": 0.8}`: searches for the case's question, and
    passes where every metric that is named (recall, mrr, ndcg) reaches its number. `relevant` may give gains:
    `{"a": 2, "b": 1}`."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict) or not value.get("collection") or not value.get("relevant"):
            raise ValueError("it wants a collection, and what is relevant")
        relevant = value["relevant"]
        self._gains: dict[str, float] = (
            {str(each): float(gain) for each, gain in relevant.items()}
            if isinstance(relevant, dict)
            else {str(each): 1.0 for each in relevant}
        )
        self._collection, self._count = str(value["collection"]), int(value.get("k", 5))
        self._least = {name: float(value[name]) for name in _METRICS if name in value} or {"recall": 1.0}

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        found = await tools.search(self._collection, case.question, self._count)
        relevant = self._gains.keys()
        values = {
            "recall": recall(found, relevant, self._count),
            "mrr": mrr(found, relevant, self._count),
            "ndcg": ndcg(found, self._gains, self._count),
        }
        note = ", ".join(f"{name}@{self._count} {values[name]:.2f}" for name in _METRICS)
        fits = all(values[name] >= least for name, least in self._least.items())
        return marked("retrieval", fits, note, score=min(values[name] for name in self._least))
