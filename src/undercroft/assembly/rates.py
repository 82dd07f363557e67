"""What a deployment's tokens cost: the operator's own price, else the price book's."""

from collections.abc import Mapping

from undercroft.gateway.call import Deployment
from undercroft.ledger.prices import PriceBook, charge
from undercroft.record import Usage
from undercroft.settings.model import Price


class BookedRates:
    """The gateway's rates. `overrides` are the configuration's prices by deployment id."""

    def __init__(self, book: PriceBook, *, overrides: Mapping[str, Price]) -> None:
        self._book = book
        self._overrides = overrides

    def cost(self, deployment: Deployment, usage: Usage, /, *, at_us: int) -> tuple[int, str]:
        override = self._overrides.get(deployment.id)
        price = self._book.price(deployment.provider, deployment.upstream_model, override, at_us=at_us)
        return charge(price, usage)
