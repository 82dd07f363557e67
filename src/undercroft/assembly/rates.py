"""What a deployment's tokens cost: the operator's own price, else the price book's, else an estimate."""

from collections.abc import Iterable

from undercroft.gateway.call import Deployment
from undercroft.ledger.prices import Price, PriceBook, charge, dearest
from undercroft.record import Usage
from undercroft.settings.model import Model
from undercroft.settings.model import Price as PriceSettings


class BookedRates:
    """The gateway's rates: the prices of the configuration, which hold at any time, before those of the book.

    `estimate` is for models that nobody knows the price of. A line of a batch costs what its deployment's
    `batch_price` says; the book knows none, and lines reach providers as any other call does.
    """

    def __init__(self, book: PriceBook, *, models: Iterable[Model], estimate: PriceSettings | None = None) -> None:
        self._book = book
        found = self._own(estimate)
        self._estimate = None if found is None else found.renamed("estimate")
        self._fixed: dict[str, Price] = {}
        self._of_batches: dict[str, Price] = {}
        for model in models:
            for place, deployment in enumerate(model.deployments):
                if (price := self._own(deployment.price)) is not None:
                    self._fixed[f"{model.name}/{place}"] = price
                if (price := self._own(deployment.batch_price)) is not None:
                    self._of_batches[f"{model.name}/{place}"] = price

    def cost(self, deployment: Deployment, usage: Usage, /, *, at_us: int, is_batch: bool = False) -> tuple[int, str]:
        return charge(self._price(deployment, at_us, is_batch=is_batch), usage)

    def fixed(self, deployment: Deployment, /) -> Price | None:
        return self._fixed.get(deployment.id)

    def most(
        self, deployment: Deployment, read: int, written: int, /, *, is_dear: bool, at_us: int, is_batch: bool = False
    ) -> int | None:
        price = self._price(deployment, at_us, is_batch=is_batch)
        return None if price is None else dearest(price, read, written, is_dear=is_dear)

    def _price(self, deployment: Deployment, at_us: int, *, is_batch: bool) -> Price | None:
        price = self._of_batches.get(deployment.id) if is_batch else None
        price = price or self._fixed.get(deployment.id)
        if price is None:
            price = self._book.price(deployment.provider, deployment.upstream_model, at_us=at_us)
        return price or self._estimate

    def _own(self, price: PriceSettings | None) -> Price | None:
        return None if price is None else self._book.price("", "", price, at_us=0)
