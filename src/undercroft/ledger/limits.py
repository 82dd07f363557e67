"""What may be used in which time: limits, the windows they are counted in, and what a call asks of them.

A plain decision over values: who a call is for and what it may use at most, against what is written. Rate limits and
budgets are the same thing in different units, so that one way of counting serves both.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from undercroft.clock import rfc3339
from undercroft.ledger.slices import Window
from undercroft.money import format_usd
from undercroft.record import Who

Scope = Literal["organisation", "team", "user", "key"]
Measure = Literal["requests", "tokens", "spend", "concurrent"]
Period = Literal["minute", "hour", "day", "week", "month", "total"]

NEVER_US: Final = 2**62
"""The end of a window that does not end."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `amount` of one measure in a period (UTC).

    `amount` counts requests, tokens (input and output), nano-dollars, or calls under way at the same time; the last
    has the period `total`. Without a `subject` each organisation, team, user or key has the amount to itself.
    """

    scope: Scope
    measure: Measure
    amount: int
    period: Period = "total"
    organisation: str = ""
    """Empty: of any organisation, as rules in the file are."""
    subject: str = ""
    model: str = ""
    """A public model name; empty: all models together."""

    @property
    def grows(self) -> bool:
        """Whether a longer answer uses more of it."""
        return self.measure in ("tokens", "spend")

    def applies(self, who: Who, model: str) -> bool:
        """Whether a call of `who` for the public name `model` is counted here."""
        if self.organisation and self.organisation != who.organisation:
            return False
        subject = self.subject_of(who)
        return bool(subject) and self.subject in ("", subject) and self.model in ("", model)

    def subject_of(self, who: Who) -> str:
        """Whose count a call of `who` goes to; empty: nobody's (a limit for each key, and a call without a key)."""
        match self.scope:
            case "organisation":
                return who.organisation
            case "team":
                return who.team
            case "user":
                return who.user
            case "key":
                return who.key

    def window(self, who: Who, at_us: int) -> Window:
        """Where a call of `who` that began at `at_us` is counted."""
        period_id, ends_us = period_of(self.period, at_us)
        return Window(
            organisation=who.organisation,
            name="|".join((self.measure, self.scope, self.subject_of(who), self.model, self.period)),
            id=period_id,
            ends_us=ends_us,
        )

    def told(self, amount: int) -> str:
        """An amount of it, for people: `60 requests`, `12.50 USD`."""
        if self.measure == "spend":
            return f"{format_usd(amount)} USD"
        return f"{amount} {_UNITS[self.measure]}"

    @property
    def title(self) -> str:
        """`60 requests a minute for each key`."""
        whose = f"the {self.scope} '{self.subject}'" if self.subject else f"each {self.scope}"
        which = f" and the model '{self.model}'" if self.model else ""
        return f"{self.told(self.amount)}{_EVERY[self.period]} for {whose}{which}"


def limits_from(
    amounts: Mapping[Measure, int | None], *, scope: Scope, period: Period, subject: str = "", model: str = ""
) -> Iterator[Limit]:
    """A limit for each amount that is given. How many calls may run at a time has no period."""
    for measure, amount in amounts.items():
        if amount is not None:
            of = "total" if measure == "concurrent" else period
            yield Limit(scope=scope, measure=measure, amount=amount, period=of, subject=subject, model=model)


_UNITS: Final[Mapping[Measure, str]] = {
    "requests": "requests",
    "tokens": "tokens",
    "concurrent": "calls at a time",
}
_EVERY: Final[Mapping[Period, str]] = {
    "minute": " a minute",
    "hour": " an hour",
    "day": " a day",
    "week": " a week",
    "month": " a month",
    "total": "",
}


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a window's name says: the reverse of `Limit.window`."""

    measure: Measure
    scope: Scope
    subject: str
    model: str
    starts_us: int
    """The window's first microsecond; 0 when it has none."""


def counted_in(window: Window) -> Counted:
    """What is counted in a window. Raises ValueError for one that was not made by a limit."""
    measure, scope, subject, rest = window.name.split("|", 3)
    model, _, period = rest.rpartition("|")
    starts_us = start_of(msgspec.convert(period, Period), window.id)
    return Counted(
        measure=msgspec.convert(measure, Measure),
        scope=msgspec.convert(scope, Scope),
        subject=subject,
        model=model,
        starts_us=starts_us,
    )


def period_of(period: Period, at_us: int) -> tuple[str, int]:
    """The id of the period that holds a moment, and the first microsecond after it. Weeks begin on Monday (UTC)."""
    if period == "total":
        return "total", NEVER_US
    moment = _EPOCH + timedelta(microseconds=at_us)
    minute = moment.replace(second=0, microsecond=0)
    day = minute.replace(hour=0, minute=0)
    match period:
        case "minute":
            start, end = minute, minute + timedelta(minutes=1)
        case "hour":
            start = minute.replace(minute=0)
            end = start + timedelta(hours=1)
        case "day":
            start, end = day, day + timedelta(days=1)
        case "week":
            start = day - timedelta(days=day.weekday())
            end = start + timedelta(weeks=1)
        case _:  # month
            start = day.replace(day=1)
            end = (start + timedelta(days=32)).replace(day=1)
    return start.strftime("%Y-%m-%dT%H:%M"), _us(end)


def start_of(period: Period, period_id: str) -> int:
    """The first microsecond of a period; 0 for `total`."""
    return 0 if period == "total" else _us(datetime.strptime(period_id, "%Y-%m-%dT%H:%M").replace(tzinfo=UTC))


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


class Counting(NamedTuple):
    """What a caller's calls are counted in for a while: until the first of the windows ends."""

    limits: tuple[Limit, ...]
    windows: tuple[tuple[Limit, Window], ...]
    """Each limit with the window of it."""
    measures: frozenset[Measure]
    grows: bool
    """Whether a longer answer uses more of it."""
    since_us: int
    until_us: int

    @classmethod
    def at(cls, limits: tuple[Limit, ...], who: Who, at_us: int) -> "Counting":
        """Of a call that begins at a moment."""
        windows = tuple((limit, limit.window(who, at_us)) for limit in limits)
        ends_us = min((window.ends_us for _, window in windows), default=NEVER_US)
        measures = frozenset(limit.measure for limit in limits)
        return cls(limits, windows, measures, any(limit.grows for limit in limits), at_us, ends_us)


Left = tuple[Limit, int, int]
"""A limit, what is left of it, and when its window ends."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a call may use at most."""

    tokens: int = 0
    spend_nano: int = 0


def asked(ask: Ask) -> dict[Measure, int]:
    """How much of a limit of each measure a call holds until it is known what it used."""
    return {"requests": 1, "tokens": ask.tokens, "spend": ask.spend_nano, "concurrent": 1}


def used_of(limit: Limit, *, tokens: int, cost_nano: int) -> int:
    """How much of a limit a call has used up once it has ended: of a place among those under way nothing stays."""
    match limit.measure:
        case "tokens":
            return tokens
        case "spend":
            return cost_nano
        case "requests":
            return 1
        case "concurrent":
            return 0


def renewal(window: Window) -> str:
    """When a window's limit begins anew, for people."""
    return "it does not renew" if window.ends_us >= NEVER_US else f"it renews at {rfc3339(window.ends_us)}"


def tightest(limits: Sequence[Left]) -> dict[Measure, Left]:
    """Of the limits of each measure the one with the least left."""
    found: dict[Measure, Left] = {}
    for each in limits:
        measure = each[0].measure
        known = found.get(measure)
        if known is None or each[1] < known[1]:
            found[measure] = each
    return found
