"""From `[[models]]` and provider keys to the catalogue: which public names exist and what answers for them."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from undercroft.assembly.bundled import LOCAL, LOCAL_EMBEDDING, BundledModels
from undercroft.assembly.providers import FIRST_CHOICE, Providers
from undercroft.assembly.upstreams import tell_change
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.gateway.balance import Balancer
from undercroft.gateway.breaker import NEVER, USUAL, BreakerPolicy
from undercroft.gateway.call import Deployment, Model
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.gateway.filters import Offer
from undercroft.gateway.routing import Cost, Ranking, Routing, is_selective
from undercroft.gateway.state import Terms
from undercroft.gateway.strategies import Strategy
from undercroft.gateway.waiting import Line
from undercroft.ledger.prices import PriceBook, cost_nano
from undercroft.record import Usage
from undercroft.settings.model import Deployment as DeploymentSettings
from undercroft.settings.model import Model as ModelSettings
from undercroft.settings.model import Settings


class ModelBuilder:
    """Makes models and their provider objects. Nothing connects or loads here."""

    def __init__(
        self,
        settings: Settings,
        *,
        bundled: BundledModels,
        client: Client,
        prices: PriceBook,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._bundled = bundled
        self._providers = Providers(settings, bundled=bundled, client=client, clock=clock)
        self._prices = prices
        self._clock = clock
        self._rng = rng

    def catalogue(self) -> Catalogue:
        """Every name of the configuration, the bundled models, and how other names are found."""
        return Catalogue(self._configured(), defaults=self._defaults(), discover=self._discover)

    def _configured(self) -> Iterator[Model]:
        for model in self._settings.models:
            deployments = tuple(
                self._deployment(
                    f"{model.name}/{place}", model.name, deployment, drop_unsupported=model.drop_unsupported
                )
                for place, deployment in enumerate(model.deployments)
            )
            yield self._configured_model(model, deployments)
        if self._bundled.chat is not None:
            yield self._bundled_model(LOCAL, LOCAL, self._bundled.chat)
        if self._bundled.embedding is not None:
            yield self._bundled_model(LOCAL_EMBEDDING, "local_embedding", self._bundled.embedding)

    def _defaults(self) -> Defaults:
        server = self._settings.server
        named = server.default_model or next((model.name for model in self._settings.models), None)
        accept_any = server.accept_any_model
        if accept_any is None:
            accept_any = not self._settings.models and not self._settings.provider_keys
        if named is not None:
            return Defaults(chat=named, embeddings=named, accept_any=accept_any)
        keyed = next((name for name in self._settings.provider_keys if name in FIRST_CHOICE), None)
        chat, embeddings = FIRST_CHOICE[keyed] if keyed else (LOCAL, LOCAL_EMBEDDING)
        return Defaults(chat=chat, embeddings=embeddings, accept_any=accept_any)

    def _discover(self, name: str) -> Model | None:
        """With no `[[models]]`: `provider/name`, and names the price book knows of a provider whose key is set."""
        if self._settings.models:
            return None
        for provider, key in self._settings.provider_keys.items():
            if provider not in FIRST_CHOICE:
                continue
            prefixed = name.startswith(f"{provider}/")
            upstream = name.removeprefix(f"{provider}/") if prefixed else name
            if upstream and (
                prefixed or self._prices.price(provider, upstream, at_us=self._clock.now_us()) is not None
            ):
                settings = DeploymentSettings(provider=provider, model=upstream, api_key=key)
                deployments = (self._deployment(f"{name}/0", name, settings),)
                return self._model(name, deployments, self._balancer(deployments))
        return None

    def _configured_model(self, settings: ModelSettings, deployments: tuple[Deployment, ...]) -> Model:
        weights = [each.weight for each in settings.deployments]
        ranking: Ranking | None = None
        strategy: Strategy = "round_robin"
        if settings.strategy == "cheapest" or settings.strategy == "prompt_size":
            ranking = settings.strategy
        else:
            strategy = settings.strategy
        offers = [offer_of(each, to) for each, to in zip(deployments, settings.deployments, strict=True)]
        routing = None
        if ranking or settings.sticky != "none" or is_selective(offers):
            routing = Routing(
                settings.name,
                offers,
                ids=[each.id for each in deployments],
                weights=weights,
                ranking=ranking,
                costs=[self._cost_of(each, to) for each, to in zip(deployments, settings.deployments, strict=True)],
                sticky=settings.sticky,
            )
        balancer = self._balancer(
            deployments,
            strategy=strategy,
            weights=weights,
            terms=[terms_of(each) for each in settings.deployments],
            breaker=BreakerPolicy(
                failures=settings.breaker.failures, calls=settings.breaker.calls, rest_s=settings.breaker.rest_s
            ),
        )
        return self._model(settings.name, deployments, balancer, routing=routing)

    def _cost_of(self, deployment: Deployment, settings: DeploymentSettings) -> Cost:
        def cost(usage: Usage) -> float:
            price = self._prices.price(
                deployment.provider, deployment.upstream_model, settings.price, at_us=self._clock.now_us()
            )
            return math.inf if price is None else cost_nano(price, usage)

        return cost

    def _bundled_model(self, name: str, provider: str, client: object) -> Model:
        deployment = Deployment(id=f"{name}/0", provider=provider, upstream_model=name, client=client)
        balancer = self._balancer((deployment,), breaker=NEVER)  # a process of our own comes back at once
        return self._model(name, (deployment,), balancer, notes=self._bundled.notes[name])

    def _balancer(
        self,
        deployments: tuple[Deployment, ...],
        *,
        strategy: Strategy = "round_robin",
        weights: Sequence[int] | None = None,
        terms: Sequence[Terms] | None = None,
        breaker: BreakerPolicy = USUAL,
    ) -> Balancer[Deployment]:
        return Balancer(
            deployments,
            strategy,
            weights=weights,
            terms=terms,
            breaker=breaker,
            rng=self._rng,
            monotonic=self._clock.monotonic,
            on_change=tell_change,
        )

    def _model(
        self,
        name: str,
        deployments: tuple[Deployment, ...],
        balancer: Balancer[Deployment],
        *,
        routing: Routing | None = None,
        notes: Mapping[str, object] = MappingProxyType({}),
    ) -> Model:
        line = Line(balancer, clock=self._clock)
        return Model(name=name, deployments=deployments, balancer=balancer, routing=routing, line=line, notes=notes)

    def _deployment(
        self, id: str, public: str, settings: DeploymentSettings, *, drop_unsupported: bool = False
    ) -> Deployment:
        upstream = settings.model or public
        client = self._providers.build(settings, upstream, drop_unsupported=drop_unsupported)
        return Deployment(
            id=id, provider=settings.provider, upstream_model=upstream, client=client, weight=settings.weight
        )


def offer_of(deployment: Deployment, settings: DeploymentSettings) -> Offer:
    """What the operator and the provider say that a deployment can take."""
    return Offer(
        kinds=deployment.kinds,
        capabilities=None if settings.capabilities is None else frozenset(settings.capabilities),
        context_tokens=settings.context_tokens,
        tags=frozenset(settings.tags),
        region=settings.region or "",
    )


def terms_of(settings: DeploymentSettings) -> Terms:
    """In which order a deployment is asked, and how much it takes at once."""
    return Terms(
        priority=settings.priority,
        max_concurrency=settings.max_concurrency,
        max_waiting=settings.max_waiting,
        max_wait_s=settings.max_wait_s,
    )
