"""From `[[models]]` and provider keys to the catalogue: which public names exist and what answers for them."""

import random
from collections.abc import Iterator

from undercroft.assembly.bundled import LOCAL, LOCAL_EMBEDDING, BundledModels
from undercroft.assembly.providers import FIRST_CHOICE, Providers
from undercroft.assembly.reliability import limits_of, own_limits, policy_of
from undercroft.clock import Clock
from undercroft.egress.client import Client, TimeLimits
from undercroft.gateway.balance import Balancer, Strategy
from undercroft.gateway.call import Deployment, Model
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.gateway.policy import Policy
from undercroft.ledger.prices import PriceBook
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
        self._clock = clock
        self._client = client
        self._providers = self._providers_within(limits_of(None, settings))
        self._usual = policy_of(None, settings.reliability)
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
            yield self._model(
                model.name, deployments, strategy=model.strategy, policy=policy_of(model, self._settings.reliability)
            )
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
        chat, embeddings = self._first_choices()
        return Defaults(chat=chat or LOCAL, embeddings=embeddings or LOCAL_EMBEDDING, accept_any=accept_any)

    def _first_choices(self) -> tuple[str | None, str | None]:
        """Public names of the chat and embedding model of the first provider that has a key and such a model."""
        keyed = [(name, *FIRST_CHOICE[name]) for name in FIRST_CHOICE if name in self._settings.provider_keys]
        chat = next((_public(name, model) for name, model, _ in keyed if model is not None), None)
        embeddings = next((_public(name, model) for name, _, model in keyed if model is not None), None)
        return chat, embeddings

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
        deployment = self._deployment(f"{name}/0", name, settings, self._providers)
        return self._model(name, (deployment,), policy=self._usual)

    def _sells(self, provider: str, model: str) -> bool:
        return bool(model) and self._prices.price(provider, model, at_us=self._clock.now_us()) is not None

    def _providers_for(self, model: ModelSettings) -> Providers:
        """Those that wait no longer than this model's calls may take."""
        limits = limits_of(model, self._settings)
        is_usual = limits == limits_of(None, self._settings)
        return self._providers if is_usual else self._providers_within(limits)

    def _providers_within(self, limits: TimeLimits) -> Providers:
        client = self._client
        if limits != own_limits(self._settings.egress):
            client = client.within(limits)
        return Providers(self._settings, bundled=self._bundled, client=client, clock=self._clock)

    def _model(
        self, name: str, deployments: tuple[Deployment, ...], *, policy: Policy, strategy: Strategy = "round_robin"
    ) -> Model:
        weights = [deployment.weight for deployment in deployments]
        balancer = Balancer(deployments, strategy, weights=weights, rng=self._rng)
        return Model(name=name, deployments=deployments, balancer=balancer, policy=policy)

    def _bundled_model(self, name: str, provider: str, client: object) -> Model:
        deployment = Deployment(id=f"{name}/0", provider=provider, upstream_model=name, client=client)
        return Model(
            name=name,
            deployments=(deployment,),
            balancer=Balancer((deployment,), rng=self._rng),
            notes=self._bundled.notes[name],
            policy=self._usual,
        )

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
