"""What a call costs: exact integer arithmetic over a dated, offline price book.

A price that is not known is `None` and stays visible as unknown; it never becomes zero.
"""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from undercroft.money import TOKENS_PER_PRICE, divide_rounding, format_usd, parse_usd
from undercroft.record import Usage

if TYPE_CHECKING:
    from undercroft.settings.model import Price as PriceSettings

BOOK: Final = Path(__file__).parent / "data" / "prices.json"
LOCAL: Final = frozenset({"local", "local_embedding", "scripted"})
"""Providers that run on this machine: no one sends a bill."""
ALIASES: Final = {"gemini": "google", "vertex": "google", "bedrock": "aws", "xai": "x-ai"}
"""Our name of a provider -> the price book's."""
_BY_TOKEN: Final = 5
"""Classes in a row of the book that stand before the price of a call in `Rates`."""
DAY_US: Final = 86_400_000_000
MOST_REMEMBERED: Final = 4096
"""Looked-up names that are kept; a caller who invents names must not fill the memory."""


class Rates(msgspec.Struct, frozen=True):
    """Nano-dollars per million tokens of each class, and nano-dollars per call."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    call: int = 0
    audio_input: int = 0
    audio_output: int = 0
    cache_write_long: int = 0


class Tier(msgspec.Struct, frozen=True):
    """The rates of a call with more than `above` input tokens, and how a ledger row names them."""

    above: int
    rates: Rates
    stamp: str
    dearest: tuple[int, int] = (0, 0)
    """Of a token read and of one written, whatever class it is of."""
    dearest_special: tuple[int, int] = (0, 0)
    """The same where there may be audio, or what is to be cached for an hour."""


class Price(msgspec.Struct, frozen=True):
    """What one model costs: tiers in ascending order, the first from 0. A call is billed wholly at its tier."""

    source: str
    tiers: tuple[Tier, ...]

    def renamed(self, source: str) -> "Price":
        """The same rates from elsewhere."""
        return price_of(source, *((tier.above, tier.rates) for tier in self.tiers))

    @property
    def has_special(self) -> bool:
        """Whether audio, or an hour in the cache, may cost more than plain text."""
        return any(tier.dearest_special != tier.dearest for tier in self.tiers)

    def tier_of(self, usage: Usage) -> Tier:
        return self.tier_at(usage.input)

    def tier_at(self, whole_input: int) -> Tier:
        """That of a call with so many input tokens."""
        if len(self.tiers) > 1:
            for tier in reversed(self.tiers):
                if whole_input > tier.above:
                    return tier
        return self.tiers[0]


def price_of(source: str, *tiers: tuple[int, Rates]) -> Price:
    return Price(source, tuple(_tier(above, rates, _stamp(source, rates)) for above, rates in tiers))


def _tier(above: int, rates: Rates, stamp: str) -> Tier:
    """Reading into the provider's cache may cost more than reading, and thinking more than writing."""
    read, written = max(rates.input, rates.cache_write, rates.cache_read), max(rates.output, rates.reasoning)
    heard = max(read, rates.audio_input, rates.cache_write_long)
    spoken = max(written, rates.audio_output)
    return Tier(above, rates, stamp, dearest=(read, written), dearest_special=(heard, spoken))


FREE: Final = Price("local", (Tier(0, Rates(0, 0, 0, 0, 0), "local"),))


def cost_nano(price: Price, usage: Usage) -> int:
    """Nano-dollars of one call, rounded once, half up."""
    return _cost(price.tier_of(usage).rates, usage)


def charge(price: Price | None, usage: Usage) -> tuple[int, str]:
    """`cost_nano` and `price` of a call record. An unknown price is (0, "")."""
    if price is None:
        return 0, ""
    tiers = price.tiers
    tier = tiers[0] if len(tiers) == 1 else price.tier_of(usage)
    return _cost(tier.rates, usage), tier.stamp


def dearest(price: Price, read: int, written: int, *, is_dear: bool) -> int:
    """Nano-dollars of so many tokens if each is of the dearest class."""
    tiers = price.tiers
    tier = tiers[0] if len(tiers) == 1 else price.tier_at(read)
    in_rate, out_rate = tier.dearest_special if is_dear else tier.dearest
    return tier.rates.call + divide_rounding(read * in_rate + written * out_rate, TOKENS_PER_PRICE)


def recompute(stamp: str, usage: Usage) -> int | None:
    """What a row with this `price` must cost; None when the stamp does not say (an unknown price among them).

    The stamp carries the rates themselves, so a row can be proved long after the price book has moved on.
    """
    if stamp == FREE.source:
        return 0
    _, _, rates = stamp.rpartition(" ")
    if "/" not in rates:
        return None
    try:
        amounts = [parse_usd(amount) for amount in rates.split("/")]
    except ValueError:
        return None
    return _cost(_with_defaults(amounts), usage) if len(amounts) <= len(Rates.__struct_fields__) else None


def _cost(rates: Rates, usage: Usage) -> int:
    # The parts are cut out of the whole, so that whatever a provider reports no token is billed twice or below zero.
    whole_input, whole_output = max(usage.input, 0), max(usage.output, 0)
    if not (usage.cache_read or usage.cache_write or usage.reasoning or usage.audio_input or usage.audio_output):
        return rates.call + divide_rounding(whole_input * rates.input + whole_output * rates.output, TOKENS_PER_PRICE)
    cache_read = min(max(usage.cache_read, 0), whole_input)
    cache_write = min(max(usage.cache_write, 0), whole_input - cache_read)
    kept_long = min(max(usage.cache_write_long, 0), cache_write)
    heard = min(max(usage.audio_input, 0), whole_input - cache_read - cache_write)
    reasoning = min(max(usage.reasoning, 0), whole_output)
    spoken = min(max(usage.audio_output, 0), whole_output - reasoning)
    return rates.call + divide_rounding(
        (whole_input - cache_read - cache_write - heard) * rates.input
        + cache_read * rates.cache_read
        + (cache_write - kept_long) * rates.cache_write
        + kept_long * rates.cache_write_long
        + heard * rates.audio_input
        + (whole_output - reasoning - spoken) * rates.output
        + reasoning * rates.reasoning
        + spoken * rates.audio_output,
        TOKENS_PER_PRICE,
    )


def _with_defaults(amounts: Sequence[int | None]) -> Rates:
    """In the order of `Rates`: the cache and audio heard cost what input costs, reasoning and audio spoken what output
    costs, unless said. Where writing to the cache costs more than reading, doing so for an hour costs twice what input
    costs: so says Anthropic, who alone counts it."""
    given = [*amounts, *[None] * (len(Rates.__struct_fields__) - len(amounts))]
    whole_input, whole_output = given[0] or 0, given[1] or 0
    written = whole_input if given[3] is None else given[3]
    kept_long = written if written <= whole_input else 2 * whole_input
    text = (whole_input, whole_output)
    defaults = (*text, whole_input, whole_input, whole_output, 0, *text, kept_long)
    return Rates(*(default if amount is None else amount for amount, default in zip(given, defaults, strict=True)))


def _stamp(source: str, rates: Rates) -> str:
    """`genai-prices 0.2.3 0.25/2/0.025`: the source and the rates, less those at the end that are the defaults."""
    amounts = list(msgspec.structs.astuple(rates))
    while len(amounts) > 2 and _with_defaults(amounts[:-1]) == rates:
        amounts.pop()
    return f"{source} {'/'.join(format_usd(amount) for amount in amounts)}"


class _Period(msgspec.Struct, frozen=True, array_like=True):
    when: str
    """`2025-10-01` (from that day on), `00:30-16:30` (daily, UTC) or empty (always)."""
    tiers: list[list[int | str | None]]
    """Rows of `above, input, output, cache_read, cache_write, reasoning, audio_input, audio_output`; what is left out
    or null is the default; none: not sold by token."""
    call: str = "0"


class _Model(msgspec.Struct, frozen=True, array_like=True):
    name: str
    matches: list[str | list[str]]
    periods: list[_Period]


class _Provider(msgspec.Struct, frozen=True):
    fallbacks: list[str]
    models: list[_Model]


class _Book(msgspec.Struct, frozen=True):
    source: str
    date: str
    providers: dict[str, msgspec.Raw]


class _Dated(msgspec.Struct, frozen=True):
    """A price and when it holds: from a moment on, or daily between two times of day."""

    price: Price | None
    since_us: int = 0
    daily_us: tuple[int, int] | None = None

    def holds(self, moment_us: int) -> bool:
        if self.daily_us is None:
            return moment_us >= self.since_us
        start, end = self.daily_us
        time_of_day = moment_us % DAY_US
        return start <= time_of_day < end if start <= end else time_of_day >= start or time_of_day < end


class PriceBook:
    """Prices by provider and model name. The file is read on first use, a provider's models when one is asked for."""

    def __init__(self, path: Path = BOOK) -> None:
        self._path = path
        self._book: _Book | None = None
        self._providers: dict[str, _Provider] = {}
        self._found: dict[tuple[str, str], tuple[_Dated, ...]] = {}
        self._overrides: dict[PriceSettings, Price] = {}

    def price(self, provider: str, model: str, overrides: "PriceSettings | None" = None, *, at_us: int) -> Price | None:
        """What a call of this moment costs; None: unknown. The operator's own price goes first."""
        if overrides is not None:
            return self._overridden(overrides)
        if provider in LOCAL:
            return FREE
        dated = self._found.get((provider, model))
        if dated is None:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()
            dated = self._found[provider, model] = self._look_up(provider, model)
        for entry in reversed(dated):
            if entry.holds(at_us):
                return entry.price
        return dated[0].price if dated else None

    def models_of(self, provider: str) -> tuple[str, ...]:
        """Every name the book spells out for a provider, sorted; what it knows by pattern alone is not among them."""
        names = set()
        for model in self._provider(ALIASES.get(provider, provider)).models:
            names.add(model.name)
            names.update(match[1:] for match in model.matches if isinstance(match, str) and match[0] == "=")
        return tuple(sorted(names))

    @property
    def source(self) -> str:
        """`genai-prices 0.2.3`."""
        return self._load().source

    @property
    def date(self) -> str:
        """The day the book's data was taken."""
        return self._load().date

    def _load(self) -> _Book:
        if self._book is None:
            self._book = msgspec.json.decode(self._path.read_bytes(), type=_Book)
        return self._book

    def _provider(self, name: str) -> _Provider:
        known = self._providers.get(name)
        if known is None:
            raw = self._load().providers.get(name)
            if raw is None:
                return _Provider([], [])
            known = self._providers[name] = msgspec.json.decode(raw, type=_Provider)
        return known

    def _look_up(self, provider: str, model: str) -> tuple[_Dated, ...]:
        name = model.lower()
        seller = self._provider(ALIASES.get(provider, provider))
        for candidate in (seller, *map(self._provider, seller.fallbacks)):
            for entry in candidate.models:
                if any(_matches(match, name) for match in entry.matches):
                    return tuple(_dated(self.source, period) for period in entry.periods)
        return ()

    def _overridden(self, overrides: "PriceSettings") -> Price:
        known = self._overrides.get(overrides)
        if known is None:
            given = [getattr(overrides, name, None) for name in Rates.__struct_fields__]  # a call itself costs nothing
            rates = _with_defaults([None if amount is None else parse_usd(amount) for amount in given])
            known = self._overrides[overrides] = price_of("settings", (0, rates))
        return known


def _matches(pattern: str | list[str], name: str) -> bool:
    if isinstance(pattern, list):
        return all(_matches(one, name) for one in pattern)
    text = pattern[1:]
    match pattern[0]:
        case "=":
            return name == text
        case "^":
            return name.startswith(text)
        case "$":
            return name.endswith(text)
        case "*":
            return text in name
    return re.search(text, name) is not None


def _dated(source: str, period: _Period) -> _Dated:
    tiers = []
    for above, *amounts in period.tiers:
        given = [None if amount is None else parse_usd(amount) for amount in amounts]
        given += [None] * (_BY_TOKEN - len(given))
        rates = _with_defaults([*given[:_BY_TOKEN], parse_usd(period.call), *given[_BY_TOKEN:]])
        tiers.append((int(above or 0), rates))
    price = price_of(source, *tiers) if tiers else None
    if ":" in period.when:
        start, end = (int(time[:2]) * 60 + int(time[3:]) for time in period.when.split("-"))
        return _Dated(price, daily_us=(start * 60_000_000, end * 60_000_000))
    return _Dated(price, since_us=_midnight_us(period.when) if period.when else 0)


def _midnight_us(day: str) -> int:
    return (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY_US
