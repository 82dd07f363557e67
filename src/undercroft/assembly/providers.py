"""From what the operator wrote of a deployment to the object that answers for it: a line for each kind of provider."""

from collections.abc import Callable, Mapping
from typing import Final

from pydantic import SecretStr

from undercroft.assembly.bundled import LOCAL_EMBEDDING, BundledModels
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.errors import ConfigurationError
from undercroft.providers.anthropic import Anthropic
from undercroft.providers.openai_compatible import OpenAICompatible
from undercroft.providers.rules import Rules, Terms
from undercroft.providers.scripted import Scripted
from undercroft.settings.model import Deployment, Settings

OPENAI_URL: Final = "https://api.openai.com/v1"
ANTHROPIC_URL: Final = "https://api.anthropic.com/v1"
FIRST_CHOICE: Final = {
    "openai": ("gpt-5-mini", "text-embedding-3-small"),
    "anthropic": ("claude-haiku-5-5", LOCAL_EMBEDDING),
}
"""Chat and embedding model of a provider whose key is all that is set, for requests that name none."""
MODERATES: Final = {"openai": "omni-moderation-latest"}
"""Its model for moderations, which costs nothing: the price book does not know it."""


class Providers:
    """Makes provider objects. Nothing connects or loads here."""

    def __init__(self, settings: Settings, *, bundled: BundledModels, client: Client, clock: Clock) -> None:
        self._settings = settings
        self._bundled = bundled
        self._client = client
        self._clock = clock
        self._builders: Mapping[str, Callable[[Deployment, str, bool], object]] = {
            "anthropic": self._anthropic,
            "openai": self._openai,
            "openai_compatible": self._compatible,
            "local": lambda *_: _installed(self._bundled.chat),
            "local_embedding": lambda *_: _installed(self._bundled.embedding),
            "scripted": self._scripted,
            "rules": lambda _, __, drop: self.rules(drop_unsupported=drop),
        }

    def build(self, deployment: Deployment, model: str, *, drop_unsupported: bool = False) -> object:
        """The provider object for one deployment; `model` is the provider's name for the model."""
        builder = self._builders.get(deployment.provider)
        if builder is None:
            raise ConfigurationError(f"There is no provider '{deployment.provider}'.")
        return builder(deployment, model, drop_unsupported)

    def rules(self, *, drop_unsupported: bool = False) -> Rules:
        """The built-in moderation, with the operator's own terms."""
        terms = [
            Terms(category=each.category, phrases=each.phrases, score=each.score)
            for each in self._settings.moderation.terms
        ]
        return Rules(terms, drop_unsupported=drop_unsupported)

    def _key(self, deployment: Deployment) -> str | None:
        """The deployment's own key, else the one from its provider's usual variable."""
        key: SecretStr | None = deployment.api_key or self._settings.provider_keys.get(deployment.provider)
        return key.get_secret_value() if key else None

    def _anthropic(self, deployment: Deployment, model: str, drop_unsupported: bool) -> object:
        return Anthropic(
            deployment.provider,
            base_url=deployment.base_url or ANTHROPIC_URL,
            api_key=self._key(deployment),
            model=model,
            drop_unsupported=drop_unsupported,
            client=self._client,
            clock=self._clock,
        )

    def _openai(self, deployment: Deployment, model: str, _: bool) -> object:
        return self._remote(deployment.base_url or OPENAI_URL, deployment, model)

    def _compatible(self, deployment: Deployment, model: str, _: bool) -> object:
        if deployment.base_url is None:
            raise ConfigurationError("A deployment of provider openai_compatible needs its base_url.")
        return self._remote(deployment.base_url, deployment, model)

    def _remote(self, base_url: str, deployment: Deployment, model: str) -> OpenAICompatible:
        return OpenAICompatible(
            deployment.provider,
            base_url=base_url,
            api_key=self._key(deployment),
            model=model,
            client=self._client,
            clock=self._clock,
        )

    def _scripted(self, deployment: Deployment, *_: object) -> object:
        return Scripted(deployment.script or "Hello from the script.", clock=self._clock)


def _installed(bundled: object | None) -> object:
    if bundled is None:
        raise ConfigurationError("The bundled models' weights are not installed.", hint="Type: undercroft models pull")
    return bundled
