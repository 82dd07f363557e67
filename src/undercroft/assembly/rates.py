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
        # Such a price holds at any time.
        self._fixed = {name: book.price("", "", override, at_us=0) for name, override in overrides.items()}

    def cost(self, deployment: Deployment, usage: Usage, /, *, at_us: int) -> tuple[int, str]:
        price = self._fixed.get(deployment.id)
        if price is None:
            price = self._book.price(deployment.provider, deployment.upstream_model, at_us=at_us)
        return charge(price, usage)
