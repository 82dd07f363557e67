"""Error budgets are counted from the ledger."""

import pytest
from sqlalchemy import Connection

from tests.support.ledger import ended, memory_database
from undercroft.ledger.entries import row_of
from undercroft.ledger.objectives import Counts, judged, objectives
from undercroft.ledger.usage import DAY_US, HOUR_US
from undercroft.settings.slo import Slo
from undercroft.storage.schema import calls

NOW = 1_767_225_600_000_000
S = 1_000_000
SLO = Slo(availability=0.9, latency_s=5, latency=0.5, first_token_s=1, first_token=0.75, cost_per_request="0.01")


def test_each_promise_is_counted_over_its_window_and_the_pace_over_the_last_hour() -> None:
    early, late = NOW - 27 * DAY_US, NOW - HOUR_US // 2
    records = [
        *(
            ended(f"good{n}", started_us=early, duration_us=S, first_token_us=S // 2, cost_nano=5_000_000)
            for n in range(17)
        ),
        ended("slow", started_us=early, duration_us=5 * S + 1, first_token_us=S + 1, cost_nano=0),
        ended("failed", started_us=late, status=503, duration_us=S, cost_nano=0),
        ended("refused", started_us=late, status=429, duration_us=S, cost_nano=0),
        ended("too old", started_us=NOW - 29 * DAY_US, status=500),
    ]
    with memory_database() as database:

        def fill(connection: Connection) -> None:
            for record in records:
                connection.execute(calls.insert().values(row_of(record)))

        database.run(fill)
        found = database.run(lambda connection: objectives(connection, SLO, organisation="default", now_us=NOW))
    availability, latency, first_token = found.objectives
    assert (availability.calls, availability.bad, availability.share) == (20, 1, 0.95)
    assert availability.budget_left == pytest.approx(0.5)
    assert availability.burn_rate == pytest.approx(5), "half of the last hour's calls failed, a tenth may"
    assert latency.budget_left == pytest.approx(0.9)
    assert (latency.bad, latency.burn_rate) == (1, 0)
    assert (first_token.calls, first_token.bad, first_token.burn_rate) == (18, 1, None)
    assert found.cost_per_request is not None
    assert found.cost_per_request.average_usd == "0.00425"
    assert found.cost_per_request.budget_left == pytest.approx(0.575)


def test_nothing_is_said_of_no_calls() -> None:
    nothing = Counts(0, 0, 0, 0, 0, 0)
    found = judged(SLO, nothing, nothing)
    assert {(each.share, each.budget_left, each.burn_rate) for each in found.objectives} == {(None, None, None)}
    assert found.cost_per_request is not None
    assert found.cost_per_request.average_usd is None
    assert judged(Slo(), nothing, nothing).cost_per_request is None


def test_a_broken_promise_has_less_than_nothing_left() -> None:
    found = judged(SLO, Counts(10, 3, 0, 0, 0, 0), Counts(0, 0, 0, 0, 0, 0))
    assert found.objectives[0].budget_left == pytest.approx(-2)
