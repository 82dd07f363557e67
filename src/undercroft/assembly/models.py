"""From `[[models]]` and provider keys to the catalogue: which public names exist and what answers for them."""

import random
from collections.abc import Iterator

from undercroft.assembly.bundled import LOCAL, LOCAL_EMBEDDING, LOCAL_MODERATION, BundledModels
from undercroft.assembly.providers import FIRST_CHOICE, MODERATES, Providers
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.gateway.balance import Balancer, Strategy
from undercroft.gateway.call import Deployment, Model
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.ledger.prices import PriceBook
from undercroft.providers.rules import DESCRIPTION, LABEL, QUALITY
from undercroft.settings.model import Deployment as DeploymentSettings
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
            yield self._model(model.name, deployments, strategy=model.strategy)
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
        keyed = next((name for name in self._settings.provider_keys if name in FIRST_CHOICE), None)
        chat, embeddings = FIRST_CHOICE[keyed] if keyed else (LOCAL, LOCAL_EMBEDDING)
        return Defaults(chat=chat, embeddings=embeddings, accept_any=accept_any, moderations=self._moderates())

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
        for provider, key in self._settings.provider_keys.items():
            if provider not in FIRST_CHOICE:
                continue
            prefixed = name.startswith(f"{provider}/")
            upstream = name.removeprefix(f"{provider}/") if prefixed else name
            if upstream and (
                prefixed
                or upstream == MODERATES.get(provider)
                or self._prices.price(provider, upstream, at_us=self._clock.now_us()) is not None
            ):
                settings = DeploymentSettings(provider=provider, model=upstream, api_key=key)
                return self._model(name, (self._deployment(f"{name}/0", name, settings),))
        return None

    def _model(self, name: str, deployments: tuple[Deployment, ...], *, strategy: Strategy = "round_robin") -> Model:
        weights = [deployment.weight for deployment in deployments]
        balancer = Balancer(deployments, strategy, weights=weights, rng=self._rng)
        return Model(name=name, deployments=deployments, balancer=balancer)

    def _bundled_model(self, name: str, provider: str, client: object) -> Model:
        deployment = Deployment(id=f"{name}/0", provider=provider, upstream_model=name, client=client)
        return Model(
            name=name,
            deployments=(deployment,),
            balancer=Balancer((deployment,), rng=self._rng),
            notes=self._bundled.notes[name],
        )

    def _local_moderation(self) -> Model:
        rules = self._providers.rules()
        deployment = Deployment(id=f"{LOCAL_MODERATION}/0", provider="rules", upstream_model=LABEL, client=rules)
        return Model(
            name=LOCAL_MODERATION,
            deployments=(deployment,),
            balancer=Balancer((deployment,), rng=self._rng),
            notes={"quality": QUALITY, "description": DESCRIPTION},
        )

    def _deployment(
        self, id: str, public: str, settings: DeploymentSettings, *, drop_unsupported: bool = False
    ) -> Deployment:
        upstream = settings.model or public
        client = self._providers.build(settings, upstream, drop_unsupported=drop_unsupported)
        return Deployment(
            id=id, provider=settings.provider, upstream_model=upstream, client=client, weight=settings.weight
        )


def _is_for_moderation(deployment: DeploymentSettings, upstream: str) -> bool:
    """Names are all there is to go by: no provider says what kind of calls a model takes."""
    return deployment.provider == "rules" or "moderation" in upstream.lower()
