"""From what the operator wrote of a deployment to the object that answers for it: a line for each kind of provider.

A kind is imported when the first deployment names it: no installation has them all, and each brings a format along.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from undercroft.assembly.bundled import BundledModels
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.errors import ConfigurationError, Unavailable
from undercroft.providers.rules import Rules, Terms
from undercroft.settings.model import Deployment, Settings
from undercroft.settings.presets import PRESETS, Quirks
from undercroft.settings.secrets import stored_name

if TYPE_CHECKING:
    from undercroft.providers.openai_compatible import Manners

Builder = Callable[[Deployment, str, bool], object]
"""Deployment, the provider's name for the model, and whether to drop what it cannot do."""
ANTHROPIC_URL: Final = "https://api.anthropic.com/v1"
FIRST_CHOICE: Final[Mapping[str, tuple[str | None, str | None]]] = {
    **{name: (preset.chat_model, preset.embedding_model) for name, preset in PRESETS.items() if preset.key_variable},
    "anthropic": ("claude-haiku-5-5", None),
    "gemini": ("gemini-flash-latest", "gemini-embedding-001"),
}
"""Chat and embedding model of a provider whose key is all that is set, for requests that name none; None: none."""
MODERATES: Final = {"openai": "omni-moderation-latest"}
"""Its model for moderations, which costs nothing: the price book does not know it."""


def nothing_stored(name: str) -> str:
    """Where there is no database."""
    raise Unavailable(f"The secret '{name}' cannot be read: there is no database here.", code="secret_missing")


class Providers:
    """Makes provider objects. Nothing connects or loads here."""

    def __init__(
        self,
        settings: Settings,
        *,
        bundled: BundledModels,
        client: Client,
        clock: Clock,
        stored: Callable[[str], str] = nothing_stored,
    ) -> None:
        """`stored` opens the secrets that deployments name as `secret:NAME`, each time they are used."""
        self._settings = settings
        self._stored = stored
        self._bundled = bundled
        self._connections = client
        self._clock = clock
        self._builders: Mapping[str, Builder] = {
            **dict.fromkeys(PRESETS, self._preset),
            "anthropic": self._anthropic,
            "azure": self._azure,
            "gemini": self._gemini,
            "local": lambda _, __, ___: _installed(self._bundled.chat),
            "local_embedding": lambda _, __, ___: _installed(self._bundled.embedding),
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

    def _client(self, deployment: Deployment) -> Client:
        """What sends its calls: a key that is stored encrypted is put into each head as it goes out."""
        key = self._key(deployment) or ""
        name = stored_name(key)
        return self._connections if name is None else self._connections.filling(key, partial(self._stored, name))

    def _anthropic(self, deployment: Deployment, model: str, drop_unsupported: bool, /) -> object:
        from undercroft.providers.anthropic import Anthropic

        return Anthropic(
            deployment.provider,
            base_url=deployment.base_url or ANTHROPIC_URL,
            api_key=self._key(deployment),
            model=model,
            drop_unsupported=drop_unsupported,
            client=self._client(deployment),
            clock=self._clock,
        )

    def _preset(self, deployment: Deployment, model: str, drop_unsupported: bool, /) -> object:
        from undercroft.providers.openai_responses import OpenAIResponses

        preset = PRESETS[deployment.provider]
        base_url = deployment.base_url or preset.base_url
        if base_url is None:
            raise ConfigurationError(f"A deployment of provider {deployment.provider} needs its base_url.")
        manners = _manners(deployment, preset.quirks, drop_unsupported)
        asked = deployment.responses_api
        return OpenAIResponses(
            deployment.provider,
            base_url=base_url,
            api_key=self._key(deployment),
            model=model,
            client=self._client(deployment),
            clock=self._clock,
            manners=manners,
            speaks_responses=deployment.provider == "openai" if asked is None else asked,
        )

    def _azure(self, deployment: Deployment, model: str, drop_unsupported: bool, /) -> object:
        from undercroft.providers.azure import azure

        if deployment.base_url is None:
            raise ConfigurationError("A deployment of provider azure needs its base_url, the resource's endpoint.")
        return azure(
            endpoint=deployment.base_url,
            api_version=deployment.api_version,
            api_key=self._key(deployment),
            deployment=model,
            client=self._client(deployment),
            clock=self._clock,
            manners=_manners(deployment, Quirks(), drop_unsupported),
            responses_api=deployment.responses_api,
        )

    def _gemini(self, deployment: Deployment, model: str, drop_unsupported: bool, /) -> object:
        from undercroft.providers.gemini import Gemini

        return Gemini(
            base_url=deployment.base_url,
            api_key=self._key(deployment),
            model=model,
            client=self._client(deployment),
            clock=self._clock,
            headers=_headers(deployment),
            drop_unsupported=drop_unsupported,
        )

    def _scripted(self, deployment: Deployment, _: str, __: bool, /) -> object:
        from undercroft.providers.scripted import Scripted

        return Scripted(deployment.script or "Hello from the script.", clock=self._clock)


def _manners(deployment: Deployment, quirks: Quirks, drop_unsupported: bool) -> "Manners":
    from undercroft.providers.openai_compatible import Manners

    return Manners(quirks=quirks, drop_unsupported=drop_unsupported, headers=_headers(deployment))


def _headers(deployment: Deployment) -> Mapping[str, str]:
    """In lower case, so that one the operator sets replaces ours."""
    return {name.lower(): value.get_secret_value() for name, value in deployment.headers.items()}


def _installed(bundled: object | None) -> object:
    if bundled is None:
        raise ConfigurationError("The bundled models' weights are not installed.", hint="Type: undercroft models pull")
    return bundled
