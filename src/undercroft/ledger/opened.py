"""What a call costs that never ended: its process died, so its price is looked up by whoever books it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from undercroft.ledger.prices import Price, PriceBook
from undercroft.record import CallOpened

if TYPE_CHECKING:
    from undercroft.settings.model import Model


class OpenedPrices:
    """Finds a price by the deployment's id (`model/0`) in the configuration, else by provider and model name."""

    def __init__(self, book: PriceBook, models: "Sequence[Model]") -> None:
        self._book = book
        self.replace(models)

    def replace(self, models: "Sequence[Model]") -> None:
        """Another configuration is in force."""
        self._configured = {
            f"{model.name}/{place}": (model.name, deployment)
            for model in models
            for place, deployment in enumerate(model.deployments)
        }

    def __call__(self, opened: CallOpened) -> Price | None:
        public, deployment = self._configured.get(opened.deployment, ("", None))
        # The configuration may have changed since; another provider's price would be a guess.
        if deployment is not None and deployment.provider == opened.provider:
            upstream = deployment.model or public
            return self._book.price(opened.provider, upstream, deployment.price, at_us=opened.started_us)
        upstream = opened.model.removeprefix(f"{opened.provider}/")
        return self._book.price(opened.provider, upstream, at_us=opened.started_us)
