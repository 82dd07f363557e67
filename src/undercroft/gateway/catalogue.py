"""Which public model names exist, and which one a request gets."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from undercroft.errors import ModelNotFound
from undercroft.gateway.call import Kind, Model
from undercroft.gateway.policy import USUAL, Policy

DISCOVERED_LIMIT = 1000
"""Names resolved on demand that are remembered; callers choose them, so there must be an end."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Who answers when the request does not say, or says a name nobody has."""

    chat: str
    embeddings: str
    accept_any: bool
    moderations: str = "local-moderation"

    def of(self, kind: Kind) -> str:
        match kind:
            case "embeddings":
                return self.embeddings
            case "moderations":
                return self.moderations
            case _:
                return self.chat


class Catalogue:
    """Public names to models.

    `discover` makes a model for a name that is not configured but can be derived (`provider/name`), or returns None.
    """

    def __init__(
        self,
        models: Iterable[Model],
        *,
        defaults: Defaults,
        discover: Callable[[str], Model | None] = lambda _: None,
        usual: Policy = USUAL,
    ) -> None:
        self._models = {model.name: model for model in models}
        self._configured = tuple(self._models)
        self._defaults = defaults
        self._discover = discover
        self._usual = usual

    def find(self, name: str, kind: Kind) -> Model:
        """The model that answers; its name differs from `name` when another one stands in. Raises ModelNotFound."""
        wanted = name or self._defaults.of(kind)
        model = self._models.get(wanted)
        if model is not None:
            return model
        discovered = self._discover(wanted)
        if discovered is not None:
            if len(self._models) < len(self._configured) + DISCOVERED_LIMIT:
                self._models[wanted] = discovered
            return discovered
        if self._defaults.accept_any:
            substitute = self._models.get(self._defaults.of(kind))
            if substitute is not None:
                return substitute
        raise self._unknown(wanted, kind)

    def names(self) -> tuple[str, ...]:
        """The configured names, in the order of the configuration."""
        return self._configured

    def is_known(self, name: str) -> bool:
        """Whether the name is configured: only such names may become labels."""
        return name in self._models

    def default(self, kind: Kind) -> str:
        """What a request that names no model gets."""
        return self._defaults.of(kind)

    def models(self) -> list[Model]:
        return [self._models[name] for name in self._configured]

    def policies(self) -> frozenset[Policy]:
        """Every policy that a call may come under; models found on demand have the usual one."""
        return frozenset({self._usual, *(model.policy for model in self._models.values())})

    def _unknown(self, name: str, kind: Kind) -> ModelNotFound:
        able = [each for each in self._configured if self._models[each].does(kind)]
        if not able:
            return ModelNotFound(
                f"The model '{name}' does not exist: no model is configured and the bundled weights are not installed.",
                param="model",
                hint="Type: undercroft models pull   or add [[models]] to undercroft.toml.",
            )
        import difflib  # for whoever mistypes a name, not for every start

        nearest = difflib.get_close_matches(name, able, n=1)
        meant = f" Did you mean '{nearest[0]}'?" if nearest else ""
        shown = ", ".join(able[:20]) + (", …" if len(able) > 20 else "")
        return ModelNotFound(f"The model '{name}' does not exist.{meant} Available: {shown}.", param="model")
