"""Writes `ledger/data/prices.json` from the development dependency genai-prices: facts only, nothing of its code.

Importing genai-prices costs 0.35 s and pulls in an HTTP client, so the product reads this conversion instead.
What is kept: who sells, how a model's name is recognised, since when which price holds. What is left out: units
that a call record does not count (images, pages, searches, one-hour caches), batch and other variants.
A model that is sold only in such units stays in, without a price: its name is known, its price is not.
"""

import argparse
import json
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from pathlib import Path

from genai_prices import types
from genai_prices.data import providers

from undercroft.clock import SystemClock, rfc3339

TARGET = Path(__file__).parents[1] / "src/undercroft/ledger/data/prices.json"
CLASSES = (
    "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok", "input_audio_mtok",
    "output_audio_mtok",
)  # fmt: skip
NANO = Decimal("0.000000001")


def patterns(clause: object) -> list[list[str]]:
    """Alternatives of conditions that must all hold: `=exact`, `^prefix`, `$suffix`, `*part`, `~regular expression`."""
    match clause:
        case types.ClauseEquals(equals=text):
            return [["=" + text.lower()]]
        case types.ClauseStartsWith(starts_with=text):
            return [["^" + text.lower()]]
        case types.ClauseEndsWith(ends_with=text):
            return [["$" + text.lower()]]
        case types.ClauseContains(contains=text):
            return [["*" + text.lower()]]
        case types.ClauseRegex(regex=text):
            return [["~" + text]]
        case types.ClauseOr(or_=clauses):
            return [alternative for inner in clauses for alternative in patterns(inner)]
        case types.ClauseAnd(and_=clauses):
            alternatives: list[list[str]] = [[]]
            for inner in clauses:
                alternatives = [left + right for left in alternatives for right in patterns(inner)]
            return alternatives
    raise TypeError(f"unknown kind of match: {clause!r}")


def decimal_text(price: Decimal) -> str:
    """Plain digits, at most nine decimal places: the source holds binary noise such as 0.18000000000000002."""
    text = f"{price.quantize(NANO, ROUND_HALF_UP):f}"
    return text.rstrip("0").rstrip(".") or "0"


def tiers(prices: types.ModelPrice) -> list[list[int | str | None]]:
    """Rows of `more input tokens than`, and a price for each of CLASSES; empty: not sold by token."""
    given = {name: price for name in CLASSES if (price := getattr(prices, name)) is not None}
    if "input_mtok" not in given and "output_mtok" not in given:
        return []
    starts = {0} | {
        tier.start for price in given.values() if isinstance(price, types.TieredPrices) for tier in price.tiers
    }

    def at(name: str, start: int) -> str | None:
        price = given.get(name)
        if isinstance(price, types.TieredPrices):
            reached = [tier.price for tier in price.tiers if tier.start <= start]
            price = reached[-1] if start and reached else price.base
        if price is None:
            return "0" if name in CLASSES[:2] else None
        return decimal_text(price)

    rows: list[list[int | str | None]] = []
    for start in sorted(starts):
        row: list[int | str | None] = [start, *(at(name, start) for name in CLASSES)]
        while row[-1] is None:
            row.pop()
        rows.append(row)
    return rows


def moment(constraint: types.StartDateConstraint | types.TimeOfDateConstraint | None) -> str:
    """`2025-10-01` (from that day on), `00:30-16:30` (daily, UTC) or nothing (always)."""
    match constraint:
        case types.StartDateConstraint(start_date=day):
            return day.isoformat()
        case types.TimeOfDateConstraint(start_time=start, end_time=end):
            return f"{start:%H:%M}-{end:%H:%M}"
    return ""


def periods(model: types.ModelInfo) -> Iterator[list[object]]:
    """In the source's order: the last one that holds at the time of the call is its price."""
    entries = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    for entry in entries:
        per_thousand_calls = getattr(entry.prices, "requests_kcount", None)
        row: list[object] = [moment(entry.constraint), tiers(entry.prices)]
        yield [*row, decimal_text(per_thousand_calls / 1000)] if per_thousand_calls else row


def convert(date: str) -> dict[str, object]:
    return {
        "source": f"genai-prices {version('genai-prices')}",
        "date": date,
        "providers": {
            provider.id: {
                "fallbacks": provider.fallback_model_providers or [],
                "models": [
                    [
                        model.id,
                        [one[0] if len(one) == 1 else one for one in patterns(model.match)],
                        list(periods(model)),
                    ]
                    for model in provider.models
                ],
            }
            for provider in providers
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", default=rfc3339(SystemClock().now_us())[:10], help="the day the data was taken")
    options = parser.parse_args()
    text = json.dumps(convert(options.date), ensure_ascii=False, separators=(",", ":"))
    # A model to a line, so that a review of the next refresh sees which prices moved.
    TARGET.write_text(text.replace('],["', '],\n["') + "\n", encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
