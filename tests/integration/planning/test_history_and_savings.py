"""What the ledger says about load and money, on both databases."""

import asyncio
import random
from collections.abc import Sequence
from functools import partial

import pytest

from tests.support.ledger import ended
from undercroft.errors import NotFound
from undercroft.ledger.entries import row_of
from undercroft.planning.history import History, read_arrivals, read_history
from undercroft.planning.optimize import Saving, Savings, find_savings, fleet_of
from undercroft.planning.own_prices import NONE, OwnPrices
from undercroft.record import CallRecord, Usage, Who
from undercroft.storage.engine import Database
from undercroft.storage.schema import calls

DAY_ONE = 1_767_225_600_000_000
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def filled(database: Database, records: Sequence[CallRecord]) -> None:
    rows = [row_of(record) for record in records]
    asyncio.run(database.write(lambda connection: connection.execute(calls.insert(), rows)))


def history(database: Database, days: int = 10) -> History:
    query = partial(read_history, organisation="default", since_us=DAY_ONE, until_us=DAY_ONE + days * DAY_US)
    return database.read_sync(query)


def savings(database: Database, prices: OwnPrices = NONE, replicas: int | None = None) -> Savings:
    fleet = None if replicas is None else fleet_of(replicas, 0.5)
    return database.read_sync(
        partial(
            find_savings,
            organisation="default",
            since_us=DAY_ONE,
            until_us=DAY_ONE + 100 * DAY_US,
            prices=prices,
            fleet=fleet,
        )
    )


def saving(found: Savings, what: str) -> Saving:
    return next(each for each in found.savings if each.what == what)


def test_a_history_has_the_rate_curve_times_and_tokens_of_its_calls(database: Database) -> None:
    # Three calls in the hour from 9 and one in that from 20, on each of ten days.
    records = [
        ended(
            f"{day}-{place}",
            started_us=DAY_ONE + day * DAY_US + hour * HOUR_US + place,
            duration_us=1_000_000 if place % 2 else 3_000_000,
            usage=Usage(input=100 + 10 * place, output=10),
        )
        for day in range(10)
        for place, hour in enumerate((9, 9, 9, 20))
    ]
    filled(database, [*records, ended("failed", started_us=DAY_ONE, status=500, error="upstream_error")])
    found = history(database)

    assert found.calls == 40
    assert found.daily_requests == pytest.approx(4, rel=0.06)  # from the first call to the last is less than ten days
    assert found.curve[9] == 30
    assert found.curve[20] == 10
    assert sum(found.curve) == 40
    assert found.mean_ms == pytest.approx(2000)
    assert found.scv == pytest.approx(0.25)
    assert found.tokens_in == pytest.approx(115)
    assert found.tokens_out == pytest.approx(10)
    assert found.model == "openai/gpt-5-mini"


def test_too_few_calls_say_nothing(database: Database) -> None:
    filled(database, [ended("a")])

    with pytest.raises(NotFound, match="The ledger has 1 answered calls in this time; 20 are the fewest"):
        history(database)
    with pytest.raises(NotFound, match="20 at different times are the fewest to replay"):
        database.read_sync(partial(read_arrivals, organisation="default", since_us=0))


def test_arrivals_come_back_in_order_from_the_first_on(database: Database) -> None:
    moments = random.Random(1).sample(range(10_000_000), 30)
    filled(database, [ended(f"{each}", started_us=DAY_ONE + each) for each in moments])

    first = min(moments)
    found = database.read_sync(partial(read_arrivals, organisation="default", since_us=0))
    assert found == pytest.approx([(each - first) / 1e6 for each in sorted(moments)])


def test_repeats_are_bounded_by_what_looks_the_same(database: Database) -> None:
    usd = 1_000_000_000
    same = {"usage": Usage(input=50, output=5), "cost_nano": usd}
    records = [
        *(ended(f"same-{place}", **same) for place in range(3)),
        ended("longer", usage=Usage(input=50, output=9), cost_nano=2 * usd),
        ended("other", usage=Usage(input=51, output=5), cost_nano=usd),
        ended("other-key", who=Who(key="key_2"), **same),
        ended("free", usage=Usage(input=50, output=5), cost_nano=0, price=""),
    ]
    filled(database, records)
    found = saving(savings(database), "cacheable repeats")
    per_month = 730 / 24

    assert found.low == 0
    assert found.likely == pytest.approx(2 * per_month), "two of the three same calls"
    assert found.high == pytest.approx(3 * per_month), "all but the dearest of four with 50 tokens in"
    assert found.at_stake == pytest.approx(7 * per_month)
    assert savings(database).unpriced_calls == 1


def test_batchable_is_what_never_streams_and_comes_often(database: Database) -> None:
    usd = 1_000_000_000
    records = [
        *(ended(f"often-{place}", who=Who(key="batch"), cost_nano=usd) for place in range(100)),
        *(ended(f"seldom-{place}", who=Who(key="seldom"), cost_nano=usd) for place in range(99)),
        *(ended(f"live-{place}", who=Who(key="live"), cost_nano=usd, streamed=place == 0) for place in range(100)),
    ]
    filled(database, records)
    unknown = saving(savings(database), "batchable traffic")
    known = saving(savings(database, OwnPrices(batch_discount=0.5)), "batchable traffic")

    assert unknown.at_stake == pytest.approx(100 * 730 / 24)
    assert unknown.likely is None
    assert "set batch_discount" in unknown.how
    assert known.high == pytest.approx(50 * 730 / 24)


def test_idle_is_what_no_hour_needed(database: Database) -> None:
    # One busy hour: 2.4 cores' worth of calls, of which half is CPU: 1.5 cores at 80 %, so 2 replicas. 23 idle ones: 1.
    busy = [
        ended(f"{place}", started_us=DAY_ONE + place * HOUR_US // 25, duration_us=HOUR_US * 24 // 240)
        for place in range(24)
    ]
    filled(database, busy)
    found = saving(savings(database, replicas=4), "idle replicas")

    hours = 4 * 24 - (2 + 23)
    assert f"{hours} of 96 replica hours" in found.how
    assert found.likely == found.high
    assert found.likely == pytest.approx((found.at_stake or 0) * hours / 96)


def test_an_empty_ledger_saves_nothing(database: Database) -> None:
    found = savings(database, replicas=1)

    assert found.calls == 0
    assert found.spent == 0
    assert saving(found, "cacheable repeats").high == 0
    assert saving(found, "idle replicas").likely == 0
