"""From `[[models]]` and provider keys to the catalogue: which public names exist and what answers for them."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType

from undercroft.assembly.bundled import LOCAL, LOCAL_EMBEDDING, LOCAL_MODERATION, BundledModels
from undercroft.assembly.providers import FIRST_CHOICE, MODERATES, Providers, nothing_stored
from undercroft.assembly.reliability import limits_of, own_limits, policy_of
from undercroft.assembly.upstreams import tell_change
from undercroft.clock import Clock
from undercroft.egress.client import Client, TimeLimits
from undercroft.gateway.balance import Balancer, Told
from undercroft.gateway.breaker import NEVER, USUAL, BreakerPolicy
from undercroft.gateway.call import Deployment, Model
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.gateway.filters import Offer
from undercroft.gateway.policy import Policy
from undercroft.gateway.routing import Cost, Ranking, Routing, is_selective
from undercroft.gateway.state import Terms
from undercroft.gateway.strategies import Strategy
from undercroft.gateway.waiting import Line
from undercroft.ledger.prices import PriceBook, cost_nano
from undercroft.providers.rules import DESCRIPTION, LABEL, QUALITY
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
        on_change: Told[Deployment] = tell_change,
        stored: Callable[[str], str] = nothing_stored,
    ) -> None:
        """`on_change` hears of deployments that are left alone, or back; `stored` opens stored secrets."""
        self._stored = stored
        self._on_change = on_change
        self._settings = settings
        self._bundled = bundled
        self._clock = clock
        self._client = client
        self._providers = self._providers_within(limits_of(None, settings))
        self._caches = settings.cache.mode == "always"
        self._usual = policy_of(None, settings.reliability, caches=self._caches)
        self._prices = prices
        self._rng = rng

    def catalogue(self) -> Catalogue:
        """Every name of the configuration, the bundled models, and how other names are found."""
        return Catalogue(self._configured(), defaults=self._defaults(), discover=self._discover, usual=self._usual)

    def _configured(self) -> Iterator[Model]:
        for model in self._settings.models:
            providers = self._providers_for(model)
            deployments = tuple(
                self._deployment(
                    f"{model.name}/{place}",
                    model.name,
                    deployment,
                    providers,
                    drop_unsupported=model.drop_unsupported,
                )
                for place, deployment in enumerate(model.deployments)
            )
            yield self._configured_model(model, deployments)
        if self._bundled.chat is not None:
            yield self._bundled_model(LOCAL, LOCAL, self._bundled.chat)
        if self._bundled.embedding is not None:
            yield self._bundled_model(LOCAL_EMBEDDING, "local_embedding", self._bundled.embedding)
        yield self._local_moderation()

    def _defaults(self) -> Defaults:
        server = self._settings.server
        named = server.default_model or next((model.name for model in self._settings.models), None)
        accept_any = server.accept_any_model
        if accept_any is None:
            accept_any = not self._settings.models and not self._settings.provider_keys
        if named is not None:
            return Defaults(chat=named, embeddings=named, accept_any=accept_any, moderations=self._moderates())
        chat, embeddings = self._first_choices()
        return Defaults(
            chat=chat or LOCAL,
            embeddings=embeddings or LOCAL_EMBEDDING,
            accept_any=accept_any,
            moderations=self._moderates(),
        )

    def _first_choices(self) -> tuple[str | None, str | None]:
        """Public names of the chat and embedding model of the first provider that has a key and such a model."""
        keyed = [(name, *FIRST_CHOICE[name]) for name in FIRST_CHOICE if name in self._settings.provider_keys]
        chat = next((_public(name, model) for name, model, _ in keyed if model is not None), None)
        embeddings = next((_public(name, model) for name, _, model in keyed if model is not None), None)
        return chat, embeddings

    def _moderates(self) -> str:
        """The model for moderations that name none: a real one before the rules."""
        if self._settings.moderation.default_model is not None:
            return self._settings.moderation.default_model
        for model in self._settings.models:
            if any(_is_for_moderation(each, each.model or model.name) for each in model.deployments):
                return model.name
        keys = () if self._settings.models else self._settings.provider_keys
        return next((MODERATES[name] for name in keys if name in MODERATES), LOCAL_MODERATION)

    def _discover(self, name: str) -> Model | None:
        """With no `[[models]]`: `provider/name`, and names the price book knows of a provider whose key is set."""
        if self._settings.models:
            return None
        keys = self._settings.provider_keys
        provider, _, upstream = name.partition("/")
        if provider not in FIRST_CHOICE or provider not in keys or not upstream:
            upstream = name
            provider = next((each for each in FIRST_CHOICE if each in keys and self._sells(each, name)), "")
        if not provider:
            return None
        settings = DeploymentSettings(provider=provider, model=upstream, api_key=keys[provider])
        deployments = (self._deployment(f"{name}/0", name, settings, self._providers),)
        return self._model(name, deployments, self._balancer(deployments), policy=self._usual)

    def _sells(self, provider: str, model: str) -> bool:
        if not model:
            return False
        is_priced = self._prices.price(provider, model, at_us=self._clock.now_us()) is not None
        return is_priced or model == MODERATES.get(provider)

    def _providers_for(self, model: ModelSettings) -> Providers:
        """Those that wait no longer than this model's calls may take."""
        limits = limits_of(model, self._settings)
        is_usual = limits == limits_of(None, self._settings)
        return self._providers if is_usual else self._providers_within(limits)

    def _providers_within(self, limits: TimeLimits) -> Providers:
        client = self._client
        if limits != own_limits(self._settings.egress):
            client = client.within(limits)
        return Providers(self._settings, bundled=self._bundled, client=client, clock=self._clock, stored=self._stored)

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
        policy = policy_of(settings, self._settings.reliability, caches=self._caches)
        return self._model(settings.name, deployments, balancer, policy=policy, routing=routing)

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
        return self._model(name, (deployment,), balancer, policy=self._usual, notes=self._bundled.notes[name])

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
            on_change=self._on_change,
            name_of=attrgetter("id"),
        )

    def _model(
        self,
        name: str,
        deployments: tuple[Deployment, ...],
        balancer: Balancer[Deployment],
        *,
        policy: Policy,
        routing: Routing | None = None,
        notes: Mapping[str, object] = MappingProxyType({}),
    ) -> Model:
        line = Line(balancer, clock=self._clock)
        return Model(
            name=name,
            deployments=deployments,
            balancer=balancer,
            notes=notes,
            policy=policy,
            routing=routing,
            line=line,
        )

    def _local_moderation(self) -> Model:
        rules = self._providers.rules()
        deployment = Deployment(id=f"{LOCAL_MODERATION}/0", provider="rules", upstream_model=LABEL, client=rules)
        notes = {"quality": QUALITY, "description": DESCRIPTION}
        balancer = self._balancer((deployment,), breaker=NEVER)
        return self._model(LOCAL_MODERATION, (deployment,), balancer, policy=self._usual, notes=notes)

    def _deployment(
        self,
        id: str,
        public: str,
        settings: DeploymentSettings,
        providers: Providers,
        *,
        drop_unsupported: bool = False,
    ) -> Deployment:
        upstream = settings.model or public
        client = providers.build(settings, upstream, drop_unsupported=drop_unsupported)
        return Deployment(
            id=id, provider=settings.provider, upstream_model=upstream, client=client, weight=settings.weight
        )


def _public(provider: str, model: str) -> str:
    """OpenAI's models are known by their own names; others' might be anybody's."""
    return model if provider == "openai" else f"{provider}/{model}"


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


def _is_for_moderation(deployment: DeploymentSettings, upstream: str) -> bool:
    """Names are all there is to go by: no provider says what kind of calls a model takes."""
    return deployment.provider == "rules" or "moderation" in upstream.lower()
