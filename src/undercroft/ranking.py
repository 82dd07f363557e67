"""How good an order of search results is, against what is known to be relevant. Each measure is between 0 and 1."""

import math
from collections.abc import Collection, Mapping, Sequence


def recall(found: Sequence[str], relevant: Collection[str], count: int) -> float:
    """Share of what is relevant among the first `count`; `relevant` is not empty."""
    return len(set(found[:count]) & set(relevant)) / len(set(relevant))


def mrr(found: Sequence[str], relevant: Collection[str], count: int) -> float:
    """One over the place of the first that is relevant; 0 where none is among the first `count`.

    The mean over queries is the mean reciprocal rank (Voorhees, TREC-8, 1999).
    """
    return next((1 / place for place, each in enumerate(found[:count], 1) if each in relevant), 0.0)


def ndcg(found: Sequence[str], gains: Mapping[str, float], count: int) -> float:
    """Discounted gain (gain over log2 of place + 1; Järvelin and Kekäläinen, 2002) by that of the best order."""
    best = sorted(gains.values(), reverse=True)[:count]
    ideal = sum(gain / math.log2(place + 1) for place, gain in enumerate(best, 1))
    seen = sum(gains.get(each, 0.0) / math.log2(place + 1) for place, each in enumerate(found[:count], 1))
    return seen / ideal if ideal else 0.0
