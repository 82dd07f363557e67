"""Checks of what a search finds: recall, MRR and nDCG at k, over a vector collection."""

from typing import Final

from undercroft.evaluation.check import Tools, marked
from undercroft.evaluation.types import Answer, Case, Mark
from undercroft.ranking import mrr, ndcg, recall

_METRICS: Final = ("recall", "mrr", "ndcg")


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
