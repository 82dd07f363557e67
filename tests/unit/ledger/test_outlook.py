"""Forecasts are straight lines, and only what is far out of the ordinary is called so."""

import pytest
from sqlalchemy import Connection

from tests.support.ledger import MemoryDatabase, ended, memory_database
from undercroft.ledger.entries import row_of
from undercroft.ledger.limits import Limit
from undercroft.ledger.outlook import budgets, judged, outlook_of, spend_today
from undercroft.ledger.usage import DAY_US, HOUR_US
from undercroft.record import CallRecord, Who
from undercroft.storage.schema import calls

MIDNIGHT = 1_767_225_600_000_000
USD = 10**9
A_DAY = Limit(scope="key", measure="spend", amount=10 * USD, period="day", subject="key_1")


def test_a_budget_that_lasts_is_forecast_to_its_end() -> None:
    found = outlook_of(A_DAY, subject="key_1", used_nano=2 * USD, now_us=MIDNIGHT + 6 * HOUR_US)
    assert (found.forecast_nano, found.spent_at) == (8 * USD, None)
    assert found.ends_at == "2026-01-02T00:00:00.000000Z"


def test_a_budget_that_does_not_last_says_until_when_it_will() -> None:
    found = outlook_of(A_DAY, subject="key_1", used_nano=5 * USD, now_us=MIDNIGHT + 6 * HOUR_US)
    assert found.forecast_nano == 20 * USD
    assert found.spent_at == "2026-01-01T12:00:00.000000Z"


def test_a_budget_that_never_renews_has_no_forecast_and_a_spent_one_is_spent_now() -> None:
    total = Limit(scope="key", measure="spend", amount=USD, subject="key_1")
    fresh = outlook_of(total, subject="key_1", used_nano=0, now_us=MIDNIGHT)
    assert (fresh.forecast_nano, fresh.ends_at, fresh.spent_at) == (None, None, None)
    assert outlook_of(total, subject="key_1", used_nano=USD, now_us=MIDNIGHT).spent_at == "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("today", "before", "is_anomalous"),
    [
        (20 * USD, [5 * USD] * 7, True),
        (7 * USD, [5 * USD] * 7, False),
        (20 * USD, [1 * USD, 18 * USD, 2 * USD, 16 * USD, 1 * USD, 19 * USD, 3 * USD], False),
        (20 * USD, [5 * USD, 5 * USD, 0, 0, 0, 0, 0], False),
        (USD // 2, [USD // 100] * 7, False),
        (20 * USD, [], False),
    ],
    ids=["far above", "a little above", "days differ as much", "no habit yet", "cents", "nothing before"],
)
def test_what_counts_as_out_of_the_ordinary(today: int, before: list[int], is_anomalous: bool) -> None:
    assert judged(today, before).is_anomalous is is_anomalous


def filled(database: MemoryDatabase, records: list[CallRecord]) -> None:
    def work(connection: Connection) -> None:
        for record in records:
            connection.execute(calls.insert().values(row_of(record)))

    database.run(work)


def test_the_same_hours_of_each_day_are_compared() -> None:
    noon = MIDNIGHT + 12 * HOUR_US
    records = [
        ended("a", started_us=noon - 1, cost_nano=3),
        ended("b", started_us=noon - DAY_US - 1, cost_nano=5),
        ended("c", started_us=noon - DAY_US, cost_nano=7),
        ended("d", started_us=noon - 7 * DAY_US - 1, cost_nano=11),
    ]
    with memory_database() as database:
        filled(database, records)
        found = database.run(lambda connection: spend_today(connection, organisation="default", now_us=noon))
    assert found.today_nano == 3
    assert found.days_before_nano == [5, 0, 0, 0, 0, 0, 11]


def test_a_budget_that_each_has_to_itself_is_shown_for_those_who_spend() -> None:
    each = Limit(scope="key", measure="spend", amount=100, period="day")
    own = Limit(scope="team", measure="spend", amount=100, period="day", subject="nobody")
    rate = Limit(scope="key", measure="requests", amount=5, period="day")
    records = [
        ended("a", cost_nano=40),
        ended("b", who=Who(key="key_2"), cost_nano=60),
        ended("c", who=Who(), cost_nano=1),
        ended("turned away", status=429, attempts=0, cost_nano=9),
        ended("cut", status=429, cost_nano=2),
    ]
    with memory_database() as database:
        filled(database, records)
        found = database.run(
            lambda connection: budgets(connection, [each, own, rate], organisation="default", now_us=MIDNIGHT + HOUR_US)
        )
    assert [(line.subject, line.used_nano) for line in found] == [("key_2", 60), ("key_1", 42), ("nobody", 0)]
