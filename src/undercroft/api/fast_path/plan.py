"""What becomes of one caller's plain calls of one model: looked up once for many of them."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from undercroft.access.callers import Caller
from undercroft.api.fast_path.plain import PlainModels
from undercroft.cache.shelf import Shelf
from undercroft.egress.client import Passage
from undercroft.errors import UndercroftError
from undercroft.gateway.call import Deployment, DirectProvider, Model, PassingProvider
from undercroft.gateway.gateway import Gateway
from undercroft.gateway.retry_budget import RetryBudget
from undercroft.gateway.stages.route import Level
from undercroft.ledger.limit_book import LimitBook
from undercroft.ledger.limits import Counting
from undercroft.ledger.prices import Price, dearest
from undercroft.ledger.standing import Standing
from undercroft.record import Who

MOST_PLANS: Final = 64
"""Of one head: callers who ask for more models than that are none that plans are made for."""


class Way(msgspec.Struct, frozen=True, eq=False):
    """To one deployment."""

    deployment: Deployment
    provider: PassingProvider
    passage: Passage
    active: Level
    """Where its calls are counted while they are with the provider."""
    price: Price | None
    """Where it is the same at any time."""
    retries: RetryBudget
    """What its calls earn."""


class Plan(msgspec.Struct, frozen=True, eq=False):
    """It holds as long as the limits are the same, and until the first of their windows ends."""

    model: Model
    ways: tuple[Way, ...]
    """By the deployments' places; none where they are only answered from the cache."""
    shelf: Shelf | None
    """Where they are, then."""
    passed: tuple[str, ...]
    """The stages that the calls pass, as their traces name them."""
    standing: Standing
    counts_tokens: bool
    counts_spend: bool
    prices: tuple[Price, ...]
    """Of all its deployments; none where not all are the same at any time."""
    may_be_special: bool
    """Whether audio may cost more than text."""
    since_us: int
    until_us: int
    limits_version: int

    def most_spent(self, read: int, written: int) -> int:
        """Nano-dollars that the dearest deployment takes for so many tokens of text, where there are prices."""
        most = 0
        for price in self.prices:
            cost_nano = dearest(price, read, written, is_dear=False)
            if cost_nano > most:
                most = cost_nano
        return most


class Plans:
    """Makes them."""

    def __init__(self, gateway: Gateway, limits: LimitBook, models: PlainModels) -> None:
        self._gateway = gateway
        self._limits = limits
        self._models = models

    def find(self, known: "dict[str, Plan]", caller: Caller, name: str, *, path: str, at_us: int) -> Plan | None:
        """The plan of calls of an endpoint by a public name, out of those that are known of this caller there; None
        where they are not plain, or go through more."""
        plan = known.get(name)
        if plan is not None and plan.since_us <= at_us < plan.until_us and plan.limits_version == self._limits.version:
            return plan
        plan = self._made(caller.who, name, path, at_us=at_us)
        if plan is not None:
            if len(known) >= MOST_PLANS:
                known.clear()
            known[name] = plan
        return plan

    def _made(self, who: Who, name: str, path: str, *, at_us: int) -> Plan | None:
        gateway = self._gateway
        try:
            model = gateway.catalogue.find(name, "chat")
        except UndercroftError:
            return None
        ways = self._models.ways(model)
        if ways is None or model.name != name:
            return None
        ready = tuple(self._ways(model, ways.by_deployment, path))
        standing = self._standing(who, model, at_us=at_us)
        if len(ready) < len(ways.by_deployment) or standing is None or not standing.tells_all:
            return None
        shelf = None
        if not ready:
            shelf = None if gateway.cache is None else gateway.cache.shelf_of(model, who, endpoint=path)
            if shelf is None:
                return None
        measures = standing.counted.measures
        counts = "tokens" in measures, "spend" in measures
        fixed = [gateway.meter.rates.fixed(deployment) for deployment in model.deployments]
        prices = tuple(price for price in fixed if price is not None)
        if len(prices) < len(fixed):
            prices = ()
        may_be_special = not prices or any(price.has_special for price in prices)
        lasts = standing.counted.since_us, standing.counted.until_us
        version = self._limits.version
        return Plan(model, ready, shelf, ways.passed, standing, *counts, prices, may_be_special, *lasts, version)

    def _standing(self, who: Who, model: Model, *, at_us: int) -> Standing | None:
        allow = self._gateway.allow
        return Standing(Counting.at((), who, at_us), ()) if allow is None else allow.standing(who, model, at_us=at_us)

    def _ways(self, model: Model, providers: Mapping[str, DirectProvider], path: str) -> Iterator[Way]:
        """Of those deployments that plain requests may pass to."""
        gauge, rates = self._gateway.route.gauge, self._gateway.meter.rates
        for deployment in model.deployments:
            provider = providers.get(deployment.id)
            passage = provider.passage() if isinstance(provider, PassingProvider) else None
            if isinstance(provider, PassingProvider) and passage is not None:
                active = gauge.at(path, model.name, deployment.provider)
                retries = self._gateway.retry.budget_of(deployment)
                yield Way(deployment, provider, passage, active, rates.fixed(deployment), retries)
