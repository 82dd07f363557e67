"""What a model's tokens cost, from the price book or the user's own prices."""

from msgspec import Struct

from undercroft.ledger.prices import PriceBook
from undercroft.planning.own_prices import OwnPrices
from undercroft.record import Usage

SELLERS = ("openai", "anthropic", "gemini", "mistral", "groq", "deepseek", "xai", "cohere")
"""Where a name without a provider is looked for, in this order."""


class TokenCost(Struct, frozen=True, kw_only=True):
    """USD for one request's tokens; None: the price is unknown."""

    usd: float | None
    source: str
    """Where the price comes from and of which day, or why there is none."""


def token_cost(
    model: str, *, tokens_in: float, tokens_out: float, prices: OwnPrices, book: PriceBook, now_us: int
) -> TokenCost:
    """What one request to `model` (`provider/model`, or a name the usual providers know) costs."""
    own = prices.tokens.get(model)
    if own is not None:
        usd = (tokens_in * own.input + tokens_out * own.output) / 1e6
        return TokenCost(usd=usd, source="your prices.toml")
    provider, _, name = model.rpartition("/")
    for seller in (provider,) if provider else SELLERS:
        price = book.price(seller, name, at_us=now_us)
        if price is not None:
            tier = price.tier_of(Usage(input=round(tokens_in), output=round(tokens_out)))
            nano = (tokens_in * tier.rates.input + tokens_out * tier.rates.output) / 1e6 + tier.rates.call
            return TokenCost(usd=nano / 1e9, source=f"{seller}/{name}, {book.source} of {book.date}")
    return TokenCost(usd=None, source=_why_unknown(provider, name, book))


def _why_unknown(provider: str, name: str, book: PriceBook) -> str:
    import difflib

    sellers = (provider,) if provider else SELLERS
    known = [f"{seller}/{each}" for seller in sellers for each in book.models_of(seller)]
    close = difflib.get_close_matches(f"{provider or SELLERS[0]}/{name}", known, n=1, cutoff=0.4)
    nearest = f"; the nearest known is {close[0]}" if close else f"; no model of '{provider}' is known" * bool(provider)
    shown = f"{provider}/{name}" if provider else name
    return f'no price is known for model {shown}{nearest}; set [tokens."{shown}"] in prices.toml'
