"""Costs are exact, no token is billed twice, and what is not known stays unknown."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from datetime import time as time_of_day
from decimal import Decimal

import genai_prices.data
import genai_prices.types as source
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from undercroft.ledger.prices import (
    FREE,
    LOCAL,
    MOST_REMEMBERED,
    Price,
    PriceBook,
    Rates,
    charge,
    cost_nano,
    dearest,
    price_of,
    recompute,
)
from undercroft.record import Usage
from undercroft.settings.model import Price as PriceSettings

BOOK = PriceBook()
NOON_US = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000

amounts = st.integers(0, 200_000_000_000)
prices = st.builds(
    lambda *rates: price_of("test 1", *((above, Rates(*each)) for above, each in zip((0, 1000), rates, strict=True))),
    st.tuples(amounts, amounts, amounts, amounts, amounts, st.integers(0, 10**9), amounts, amounts),
    st.tuples(amounts, amounts, amounts, amounts, amounts, st.integers(0, 10**9), amounts, amounts),
)
counts = st.integers(0, 5_000_000)
usages = st.builds(
    lambda fresh, read, write, kept, heard, plain, reasoning, spoken: Usage(
        input=fresh + read + write + kept + heard,
        output=plain + reasoning + spoken,
        cache_read=read,
        cache_write=write + kept,
        cache_write_long=kept,
        reasoning=reasoning,
        audio_input=heard,
        audio_output=spoken,
    ),
    counts, counts, counts, counts, counts, counts, counts, counts,
)  # fmt: skip
any_counts = st.integers(-100, 10_000)
wild_usages = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, any_counts))


def flat(**rates: int) -> Price:
    given = {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0, "reasoning": 0} | rates
    return price_of("test 1", (0, Rates(**given)))


def test_a_call_costs_the_sum_of_its_classes_rounded_once_half_up() -> None:
    price = BOOK.price("openai", "gpt-5-mini", at_us=NOON_US)
    assert price is not None
    # 0.25, 2.00 and 0.025 USD per million: 700 fresh, 300 cached, 10 out.
    assert cost_nano(price, Usage(input=1000, cache_read=300, output=10)) == 700 * 250 + 300 * 25 + 10 * 2000
    assert cost_nano(flat(input=500_000), Usage(input=1)) == 1
    assert cost_nano(flat(input=499_999), Usage(input=1)) == 0
    assert cost_nano(flat(input=250_000, output=250_000), Usage(input=1, output=1)) == 1


@given(prices, usages)
def test_every_class_is_billed_at_its_own_rate_and_none_twice(price: Price, usage: Usage) -> None:
    rates = price.tier_of(usage).rates
    fresh = usage.input - usage.cache_read - usage.cache_write - usage.audio_input
    exact = (
        Decimal(
            fresh * rates.input
            + usage.cache_read * rates.cache_read
            + (usage.cache_write - usage.cache_write_long) * rates.cache_write
            + usage.cache_write_long * rates.cache_write_long
            + usage.audio_input * rates.audio_input
            + (usage.output - usage.reasoning - usage.audio_output) * rates.output
            + usage.reasoning * rates.reasoning
            + usage.audio_output * rates.audio_output
        )
        / 1_000_000
        + rates.call
    )
    assert abs(cost_nano(price, usage) - exact) <= Decimal("0.5")


@given(prices, st.lists(usages.filter(lambda usage: usage.input <= 1000), max_size=8))
def test_calls_booked_apart_cost_the_same_as_together_up_to_half_a_nano_dollar_each(
    price: Price, parts: list[Usage]
) -> None:
    whole = Usage(**{name: sum(getattr(part, name) for part in parts) for name in Usage.__struct_fields__})
    rates = price.tiers[0].rates
    one_tier = price_of("test 1", (0, replace(rates, call=0)))
    apart = sum(cost_nano(one_tier, part) for part in parts)
    assert abs(apart - cost_nano(one_tier, whole)) <= (len(parts) + 1) / 2


@given(prices, wild_usages)
def test_whatever_a_provider_reports_a_call_never_costs_less_than_nothing_nor_more_than_its_tokens(
    price: Price, usage: Usage
) -> None:
    rates = price.tier_of(usage).rates
    dearest_input = max(rates.input, rates.cache_read, rates.cache_write, rates.audio_input, rates.cache_write_long)
    dearest_output = max(rates.output, rates.reasoning, rates.audio_output)
    most = max(usage.input, 0) * dearest_input + max(usage.output, 0) * dearest_output
    assert 0 <= cost_nano(price, usage) <= most // 1_000_000 + 1 + rates.call


@given(prices, usages)
def test_no_kind_of_token_makes_a_call_dearer_than_the_dearest(price: Price, usage: Usage) -> None:
    assert cost_nano(price, usage) <= dearest(price, usage.input, usage.output, is_dear=True)
    silent = replace(usage, audio_input=0, audio_output=0, cache_write_long=0)
    assert cost_nano(price, silent) <= dearest(price, usage.input, usage.output, is_dear=False)


@given(prices, usages)
def test_a_row_proves_its_cost_from_its_own_price(price: Price, usage: Usage) -> None:
    cost, stamp = charge(price, usage)
    assert recompute(stamp, usage) == cost
    assert recompute(stamp, Usage(input=usage.input + 4_000_000_000, output=1)) is not None


def test_a_price_names_its_source_and_rates_without_those_that_follow_from_others() -> None:
    assert (
        charge(BOOK.price("openai", "gpt-5-mini", at_us=NOON_US), Usage(input=1))[1]
        == "genai-prices 0.2.3 0.25/2/0.025"
    )
    assert charge(BOOK.price("perplexity", "sonar-pro", at_us=NOON_US), Usage(input=1))[1].endswith(
        " 3/15/3/3/15/0.014"
    )
    override = PriceSettings(input="0.5", output="1")
    assert charge(BOOK.price("openai", "x", override, at_us=0), Usage())[1] == "settings 0.5/1"


@pytest.mark.parametrize("stamp", ["", "settings", "genai-prices 0.2.3", "a 1/x", "a 1/2/3/4/5/6/7/8/9/10", "a 1/-2"])
def test_a_price_that_names_no_rates_proves_nothing(stamp: str) -> None:
    assert recompute(stamp, Usage(input=1)) is None


def test_an_unknown_price_is_none_and_booked_as_unknown() -> None:
    assert BOOK.price("openai", "no-such-model", at_us=NOON_US) is None
    assert BOOK.price("openai_compatible", "gpt-5-mini", at_us=NOON_US) is None
    assert BOOK.price("openai", "whisper-1", at_us=NOON_US) is None, "sold by the hour, not by the token"
    assert charge(None, Usage(input=5)) == (0, "")


@pytest.mark.parametrize("provider", sorted(LOCAL))
def test_what_runs_here_costs_exactly_nothing(provider: str) -> None:
    price = BOOK.price(provider, "anything", at_us=NOON_US)
    assert price is FREE
    assert charge(price, Usage(input=10**9, output=10**9)) == (0, "local")
    assert recompute("local", Usage(input=10**9)) == 0


def test_the_operators_price_goes_first() -> None:
    override = PriceSettings(input="1", output="2", cache_read="0.1")
    for provider in ("openai", "local", "unknown"):
        price = BOOK.price(provider, "gpt-5-mini", override, at_us=NOON_US)
        assert price is not None
        assert cost_nano(price, Usage(input=10, cache_read=4, cache_write=3, output=1)) == 6 * 1000 + 4 * 100 + 2000


def test_a_long_prompt_is_billed_wholly_at_its_tier() -> None:
    price = BOOK.price("gemini", "gemini-2.5-pro", at_us=NOON_US)
    assert price is not None
    assert cost_nano(price, Usage(input=200_000)) == 200_000 * 1250
    assert cost_nano(price, Usage(input=200_001)) == 200_001 * 2500


def test_names_are_found_without_regard_to_case_and_bounded_in_memory() -> None:
    book = PriceBook()
    assert book.price("openai", "GPT-5-Mini", at_us=NOON_US) == BOOK.price("openai", "gpt-5-mini", at_us=NOON_US)
    for number in range(MOST_REMEMBERED + 10):
        book.price("groq", f"invented-{number}", at_us=NOON_US)
    assert len(book._found) <= MOST_REMEMBERED


def test_the_names_of_a_provider_are_those_it_is_called_by() -> None:
    names = BOOK.models_of("openai")
    assert {"gpt-5-mini", "gpt-4o", "whisper-1", "text-embedding-3-small"} <= set(names)
    assert list(names) == sorted(set(names))
    assert BOOK.models_of("gemini") == BOOK.models_of("google")
    assert BOOK.models_of("nobody") == ()


def test_the_book_says_what_it_is() -> None:
    assert BOOK.source == "genai-prices 0.2.3"
    assert datetime.fromisoformat(BOOK.date).year >= 2026


def _moments() -> Iterator[datetime]:
    """Before, between and after every change of a price, and at different times of day."""
    days = {
        entry.constraint.start_date
        for provider in genai_prices.data.providers
        for model in provider.models
        if isinstance(model.prices, list)
        for entry in model.prices
        if isinstance(entry.constraint, source.StartDateConstraint)
    }
    picked = sorted(days)[:: max(len(days) // 6, 1)]
    return (datetime.combine(day, time_of_day(hour, tzinfo=UTC)) for day in picked for hour in (2, 20))


@pytest.mark.parametrize("at", list(_moments()), ids=str)
def test_the_conversion_prices_every_model_as_its_source_does(at: datetime) -> None:
    at_us = int(at.timestamp()) * 1_000_000
    compared = 0
    for provider in genai_prices.data.providers:
        for model in provider.models:
            found = provider.find_model(model.id, all_providers=genai_prices.data.providers)
            if found is None:
                continue
            ours = BOOK.price(provider.id, model.id, at_us=at_us)
            theirs = found.get_prices(at)
            if ours is None:
                assert theirs.input_mtok is None
                assert theirs.output_mtok is None
                continue
            for whole_input in (1000, 300_000):
                tokens = source.Usage(
                    input_tokens=whole_input,
                    output_tokens=500,
                    cache_read_tokens=200,
                    cache_write_tokens=100,
                    output_reasoning_tokens=7,
                )
                cost = cost_nano(
                    ours, Usage(input=whole_input, output=500, cache_read=200, cache_write=100, reasoning=7)
                )
                # One for rounding; the source's own binary noise is below that.
                assert abs(cost - theirs.calc_price(tokens)["total_price"] * 10**9) <= 1, (provider.id, model.id)
                compared += 1
    assert compared > 4000


def test_the_first_price_is_there_in_milliseconds() -> None:
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        PriceBook().price("openai", "gpt-5-mini", at_us=NOON_US)
        best = min(best, time.perf_counter() - start)
    print(f"first price: {best * 1e3:.1f} ms")
    assert best < 0.2  # the figure is 20 ms


def test_importing_the_ledgers_hot_path_brings_in_neither_database_nor_price_source() -> None:
    code = "import sys, undercroft.ledger.spool, undercroft.ledger.prices; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ}
    ).stdout.split()
    assert not {"sqlalchemy", "pydantic", "genai_prices", "structlog"} & set(modules)


def test_audio_is_billed_at_its_own_rate_where_the_book_or_the_operator_knows_one() -> None:
    heard_and_said = Usage(input=100, audio_input=60, output=50, audio_output=30)
    price = BOOK.price("openai", "gpt-audio", at_us=NOON_US)
    assert price is not None
    rates = price.tiers[0].rates
    assert rates.audio_input > rates.input
    assert rates.audio_output > rates.output
    own = PriceSettings(input="1", output="2", reasoning="4", audio_input="10", audio_output="20")
    cost, stamp = charge(BOOK.price("openai", "x", own, at_us=0), heard_and_said)
    assert cost == (40 * 1 + 60 * 10 + 20 * 2 + 30 * 20) * 1000
    assert stamp == "settings 1/2/1/1/4/0/10/20"
    assert price.has_special
    assert recompute(stamp, heard_and_said) == cost
    plain = PriceSettings(input="1", output="2")
    deaf = BOOK.price("openai", "x", plain, at_us=0)
    assert charge(deaf, heard_and_said)[0] == (100 * 1 + 50 * 2) * 1000
    assert deaf is not None
    assert not deaf.has_special


def test_an_hour_in_the_cache_costs_twice_the_input_unless_the_operator_says_otherwise() -> None:
    price = BOOK.price("anthropic", "claude-3-7-sonnet-latest", at_us=NOON_US)
    assert price is not None
    # 3 USD per million read, 3.75 kept for five minutes, 6 for an hour, 15 written.
    usage = Usage(input=1000, cache_write=900, cache_write_long=500, output=10)
    cost, stamp = charge(price, usage)
    assert cost == 100 * 3000 + 400 * 3750 + 500 * 6000 + 10 * 15_000
    assert recompute(stamp, usage) == cost
    assert dearest(price, 1000, 0, is_dear=True) == 1000 * 6000
    own = BOOK.price("anthropic", "x", PriceSettings(input="1", cache_write_long="9"), at_us=0)
    assert own is not None
    cost, stamp = charge(own, usage)
    assert cost == 100 * 1000 + 400 * 1000 + 500 * 9000
    assert recompute(stamp, usage) == cost
