"""What a deployment's tokens cost: the operator's own price, else the price book's, else an estimate."""

from collections.abc import Mapping

from undercroft.gateway.call import Deployment
from undercroft.ledger.prices import PriceBook, charge
from undercroft.record import Usage
from undercroft.settings.model import Price


class BookedRates:
    """The gateway's rates. `overrides` are the configuration's prices by deployment id; `estimate` is for models that
    nobody knows the price of."""

    def __init__(self, book: PriceBook, *, overrides: Mapping[str, Price], estimate: Price | None = None) -> None:
        self._book = book
        found = None if estimate is None else book.price("", "", estimate, at_us=0)
        self._estimate = None if found is None else found.renamed("estimate")
        # Such a price holds at any time.
        self._fixed = {name: book.price("", "", override, at_us=0) for name, override in overrides.items()}

    def cost(self, deployment: Deployment, usage: Usage, /, *, at_us: int) -> tuple[int, str]:
        price = self._fixed.get(deployment.id)
        if price is None:
            price = self._book.price(deployment.provider, deployment.upstream_model, at_us=at_us)
        return charge(price or self._estimate, usage)
