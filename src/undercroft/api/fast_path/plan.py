"""What becomes of one caller's plain calls of one model: looked up once for many of them."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from undercroft.api.fast_path.plain import PlainModels
from undercroft.cache.key import Place
from undercroft.egress.client import Passage
from undercroft.errors import UndercroftError
from undercroft.gateway.call import Deployment, DirectProvider, Model, PassingProvider
from undercroft.gateway.gateway import Gateway
from undercroft.ledger.limit_book import LimitBook
from undercroft.ledger.limits import Counting
from undercroft.ledger.standing import Standing
from undercroft.record import Who

CHAT: Final = "/v1/chat/completions"
MOST_PLANS: Final = 64
"""Of one head: callers who ask for more models than that are none that plans are made for."""


class Way(NamedTuple):
    """To one deployment."""

    deployment: Deployment
    provider: PassingProvider
    passage: Passage


class Plan(NamedTuple):
    """It holds as long as the limits are the same, and until the first of their windows ends."""

    model: Model
    ways: tuple[Way, ...]
    """By the deployments' places; none where they are only answered from the cache."""
    place: Place | None
    """Where they are, then."""
    passed: tuple[str, ...]
    """The stages that the calls pass, as their traces name them."""
    standing: Standing
    counts_tokens: bool
    counts_spend: bool
    limits_version: int

    def holds(self, limits_version: int, at_us: int) -> bool:
        counted = self.standing.counted
        return self.limits_version == limits_version and counted.since_us <= at_us < counted.until_us


class Plans:
    """Makes them."""

    def __init__(self, gateway: Gateway, limits: LimitBook, models: PlainModels) -> None:
        self._gateway = gateway
        self._limits = limits
        self._models = models

    def find(self, known: "dict[str, Plan]", who: Who, name: str, *, at_us: int) -> Plan | None:
        """The plan of calls by a public name, out of those that are known of this caller; None where they are not
        plain, or go through more."""
        plan = known.get(name)
        if plan is not None and plan.holds(self._limits.version, at_us):
            return plan
        plan = self._made(who, name, at_us=at_us)
        if plan is not None:
            if len(known) >= MOST_PLANS:
                known.clear()
            known[name] = plan
        return plan

    def _made(self, who: Who, name: str, *, at_us: int) -> Plan | None:
        gateway = self._gateway
        try:
            model = gateway.catalogue.find(name, "chat")
        except UndercroftError:
            return None
        ways = self._models.ways(model)
        if ways is None or model.name != name:
            return None
        ready = tuple(_ways(model, ways.by_deployment))
        standing = self._standing(who, model, at_us=at_us)
        if len(ready) < len(ways.by_deployment) or standing is None or not standing.tells_all:
            return None
        place = None
        if not ready and gateway.cache is not None:
            place = gateway.cache.place_of(model, who, endpoint=CHAT)
        measures = standing.counted.measures
        counts = "tokens" in measures, "spend" in measures
        return Plan(model, ready, place, ways.passed, standing, *counts, self._limits.version)

    def _standing(self, who: Who, model: Model, *, at_us: int) -> Standing | None:
        allow = self._gateway.allow
        return Standing(Counting.at((), who, at_us), ()) if allow is None else allow.standing(who, model, at_us=at_us)


def _ways(model: Model, providers: Mapping[str, DirectProvider]) -> Iterator[Way]:
    """Of those deployments that plain requests may pass to."""
    for deployment in model.deployments:
        provider = providers.get(deployment.id)
        passage = provider.passage() if isinstance(provider, PassingProvider) else None
        if isinstance(provider, PassingProvider) and passage is not None:
            yield Way(deployment, provider, passage)
