"""What a model's configuration wants to know of each call before a deployment is chosen."""

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from undercroft.gateway.filters import Offer, Wish, fitting, need_of
from undercroft.gateway.sticky import Sticky, distances, key_of
from undercroft.llm.tokens import estimate_input
from undercroft.llm.types import EmbeddingsRequest, ModerationRequest, Request
from undercroft.record import Usage, Who

Ranking = Literal["cheapest", "prompt_size"]
"""The strategies that depend on the call; the others are the balancer's own."""
Cost = Callable[[Usage], float]
"""Nano-dollars of a call; infinite where the price is not known."""

GUESSED_OUTPUT_TOKENS: Final = 500
"""What an answer is thought to need whose length the caller does not limit, when prices are compared."""


class Look(NamedTuple):
    """What a call makes of a model's deployments."""

    fits: tuple[int, ...] | None = None
    """Those that can take it; None: all."""
    scores: tuple[float, ...] | None = None
    """For each how good it is, lowest first; None: as the balancer's strategy says."""
    by: str = ""
    """What the scores go by."""


EVERYBODY: Final = Look()


class Routing:
    """Filters and rankings of one model. A model that has none of them has no Routing either: its calls pay nothing."""

    def __init__(
        self,
        model: str,
        offers: Sequence[Offer],
        *,
        ids: Sequence[str],
        weights: Sequence[int],
        ranking: Ranking | None = None,
        costs: Sequence[Cost] = (),
        sticky: Sticky = "none",
    ) -> None:
        self._model = model
        self._offers = tuple(offers)
        self._ids = [each.encode() for each in ids]
        self._weights = tuple(weights)
        self._ranking = ranking
        self._costs = tuple(costs)
        self._sizes = tuple(float(offer.context_tokens or math.inf) for offer in offers)
        self._sticky = sticky
        self._filters = _is_limited(offers)

    def look(self, request: Request, *, kind: str, who: Who, wish: Wish | None) -> Look:
        """Raises InvalidRequest when nobody can take the call."""
        fits: tuple[int, ...] | None = None
        if self._filters or wish is not None:
            fits = fitting(self._model, self._offers, need_of(request, kind), wish)
        key = key_of(self._sticky, request, who)
        if key is not None:
            return Look(fits, distances(key, self._ids, self._weights), f"sticky {self._sticky}")
        if self._ranking == "cheapest":
            usage = Usage(input=estimate_input(request), output=_output_of(request))
            return Look(fits, tuple(cost(usage) for cost in self._costs), self._ranking)
        if self._ranking == "prompt_size":
            return Look(fits, self._sizes, self._ranking)
        return Look(fits)


def _output_of(request: Request) -> int:
    """Tokens of the answer, at most or as guessed; vectors and verdicts have none."""
    if isinstance(request, EmbeddingsRequest | ModerationRequest):
        return 0
    return (request.sampling.max_tokens or GUESSED_OUTPUT_TOKENS) * request.sampling.n


def is_selective(offers: Sequence[Offer]) -> bool:
    """Whether some call, or some caller's wish, can be meant for some of these and not for others."""
    return any(
        offer.capabilities is not None
        or offer.context_tokens is not None
        or offer.tags
        or offer.region
        or offer.kinds != offers[0].kinds
        for offer in offers
    )


def _is_limited(offers: Sequence[Offer]) -> bool:
    """Whether there are calls that not all of these can take, whatever the caller wishes."""
    return any(
        offer.capabilities is not None or offer.context_tokens is not None or offer.kinds != offers[0].kinds
        for offer in offers
    )
