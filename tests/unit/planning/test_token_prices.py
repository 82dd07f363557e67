"""Token prices: the book's, your own, or unknown with a hint."""

import pytest

from undercroft.ledger.prices import PriceBook
from undercroft.planning.own_prices import NONE, OwnPrices, TokenPrice
from undercroft.planning.token_prices import TokenCost, token_cost

NOW_US = 1_767_225_600_000_000
BOOK = PriceBook()


def cost(model: str, prices: OwnPrices = NONE) -> TokenCost:
    return token_cost(model, tokens_in=1000, tokens_out=500, prices=prices, book=BOOK, now_us=NOW_US)


def test_a_model_of_the_book_costs_what_the_book_says_and_says_its_date() -> None:
    found = cost("openai/gpt-5-mini")

    assert found.usd == pytest.approx((1000 * 0.25 + 500 * 2) / 1e6)
    assert BOOK.source in found.source
    assert BOOK.date in found.source


def test_a_bare_name_is_looked_up_among_the_usual_providers() -> None:
    assert cost("gpt-5-mini") == cost("openai/gpt-5-mini")


def test_your_own_price_goes_first() -> None:
    own = OwnPrices(tokens={"openai/gpt-5-mini": TokenPrice(input=1, output=1)})

    assert cost("openai/gpt-5-mini", own).usd == pytest.approx(0.0015)


def test_what_runs_here_costs_no_tokens() -> None:
    assert cost("local/smollm2").usd == 0


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("openai/gpt-5-mimi-x", "the nearest known is openai/gpt-5"),
        ("nobody/nothing", "no model of 'nobody' is known"),
    ],
)
def test_an_unknown_price_is_unknown_and_says_what_to_set(model: str, hint: str) -> None:
    found = cost(model)

    assert found.usd is None
    assert hint in found.source
    assert f'set [tokens."{model}"] in prices.toml' in found.source
