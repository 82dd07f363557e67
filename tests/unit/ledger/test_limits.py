"""Limits: whom they are for, the windows they are counted in, and what a call asks of them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.ledger.limit_book import LimitBook
from undercroft.ledger.limits import (
    NEVER_US,
    Ask,
    Limit,
    Period,
    Scope,
    asked,
    counted_in,
    period_of,
    start_of,
    tightest,
    used_of,
)
from undercroft.record import Who

ANNA = Who(organisation="acme", team="web", user="anna", key="k1")
NO_KEY = Who(organisation="acme", team="web", user="anna")
MOMENT = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)


def us(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("period", "id", "end"),
    [
        ("minute", "2026-02-28T23:59", datetime(2026, 3, 1, tzinfo=UTC)),
        ("hour", "2026-02-28T23:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("day", "2026-02-28T00:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("week", "2026-02-23T00:00", datetime(2026, 3, 2, tzinfo=UTC)),
        ("month", "2026-02-01T00:00", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_period_has_a_name_and_an_end(period: Period, id: str, end: datetime) -> None:
    assert period_of(period, us(MOMENT)) == (id, us(end))


def test_a_total_never_ends() -> None:
    assert period_of("total", us(MOMENT)) == ("total", NEVER_US)
    assert start_of("total", "total") == 0


@given(st.integers(0, 4 * 10**15), st.sampled_from(["minute", "hour", "day", "week", "month"]))
def test_a_moment_lies_in_its_period_and_the_next_begins_where_it_ends(at_us: int, period: Period) -> None:
    period_id, ends_us = period_of(period, at_us)
    assert start_of(period, period_id) <= at_us < ends_us
    assert start_of(period, period_of(period, ends_us)[0]) == ends_us


@pytest.mark.parametrize(
    ("limit", "who", "model", "applies"),
    [
        (Limit(scope="key", measure="requests", amount=1), ANNA, "chat", True),
        (Limit(scope="key", measure="requests", amount=1), NO_KEY, "chat", False),
        (Limit(scope="key", measure="requests", amount=1, subject="k2"), ANNA, "chat", False),
        (Limit(scope="user", measure="requests", amount=1, subject="anna"), NO_KEY, "chat", True),
        (Limit(scope="team", measure="requests", amount=1, model="other"), ANNA, "chat", False),
        (Limit(scope="organisation", measure="requests", amount=1, organisation="else"), ANNA, "chat", False),
    ],
)
def test_a_limit_is_for_those_it_names(limit: Limit, who: Who, model: str, applies: bool) -> None:
    assert limit.applies(who, model) is applies


@given(st.text(max_size=20), st.sampled_from(["organisation", "team", "user", "key"]))
def test_a_windows_name_says_what_is_counted_whatever_the_model_is_called(model: str, scope: Scope) -> None:
    limit = Limit(scope=scope, measure="tokens", amount=1, period="day", model=model)
    counted = counted_in(limit.window(ANNA, us(MOMENT)))
    assert (counted.measure, counted.scope, counted.model) == ("tokens", scope, model)
    assert counted.subject == limit.subject_of(ANNA)
    assert counted.starts_us == us(datetime(2026, 2, 28, tzinfo=UTC))


def test_a_call_holds_the_most_and_leaves_what_it_used() -> None:
    ask = Ask(tokens=100, spend_nano=7_000)
    limits = {measure: Limit(scope="key", measure=measure, amount=1) for measure in
              ("requests", "tokens", "spend", "concurrent")}  # fmt: skip
    assert asked(ask) == {"requests": 1, "tokens": 100, "spend": 7_000, "concurrent": 1}
    assert {name: used_of(limit, tokens=30, cost_nano=2_000) for name, limit in limits.items()} == {
        "requests": 1, "tokens": 30, "spend": 2_000, "concurrent": 0,
    }  # fmt: skip


def test_the_tightest_limit_is_the_one_with_the_least_left() -> None:
    wide = Limit(scope="team", measure="requests", amount=100)
    narrow = Limit(scope="key", measure="requests", amount=200)
    assert tightest([(wide, 50, NEVER_US), (narrow, 3, 9)]) == {"requests": (narrow, 3, 9)}
    assert tightest([(narrow, 3, 9), (wide, 50, NEVER_US)]) == {"requests": (narrow, 3, 9)}
    assert tightest([]) == {}


def test_titles_are_for_people() -> None:
    limit = Limit(scope="key", measure="spend", amount=12_500_000_000, period="month", subject="k1", model="chat")
    assert limit.title == "12.5 USD a month for the key 'k1' and the model 'chat'"
    assert Limit(scope="user", measure="concurrent", amount=4).title == "4 calls at a time for each user"


def test_the_book_adds_what_is_stored_to_the_rules_and_follows_both() -> None:
    book = LimitBook()
    assert book.is_empty
    rule = Limit(scope="key", measure="requests", amount=60, period="minute")
    own = Limit(scope="key", measure="spend", amount=10, subject="k1", organisation="acme")
    book.follow([rule])
    assert limits_of(book, ANNA) == [rule]
    book.replace([own])
    assert limits_of(book, ANNA) == [own, rule]
    assert limits_of(book, NO_KEY) == []
    book.follow([])
    assert limits_of(book, ANNA) == [own]
    assert not book.is_empty


def limits_of(book: LimitBook, who: Who) -> list[Limit]:
    return list(book.counted(who, "chat", at_us=0).limits)


def test_what_is_remembered_of_a_caller_ends_with_the_first_of_its_windows() -> None:
    book = LimitBook()
    limits = [Limit(scope="key", measure="requests", amount=9, period=period) for period in ("minute", "day", "total")]
    book.follow(limits)
    for at_us in (30_000_000, 59_999_999, 60_000_000, 59_999_998, 61_000_000, 86_400_000_000):
        counted = book.counted(ANNA, "chat", at_us=at_us)
        assert counted.windows == tuple((limit, limit.window(ANNA, at_us)) for limit in limits)
