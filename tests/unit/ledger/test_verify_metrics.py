"""Metrics and books are compared route by route, to the last token and nano-dollar."""

import pytest

from tests.support.ledger import ended, memory_database
from undercroft.ledger.entries import INTERRUPTED, row_of
from undercroft.ledger.verify_metrics import Sums, booked, counted, differences
from undercroft.record import Usage
from undercroft.storage.schema import calls

SCRAPE = """# HELP ai_api_calls_total Calls of the AI routes.
# TYPE ai_api_calls_total counter
ai_api_calls_total{endpoint="/v1/chat/completions",model="a",provider="x"} 2.0
ai_api_calls_total{endpoint="/v1/chat/completions",model="b \\"c\\"",provider="x"} 1.0
ai_api_calls_total{endpoint="my_function",model="",provider=""} 7.0
ai_tokens_total{class="input",endpoint="/v1/chat/completions",model="a",provider="x"} 30.0
ai_tokens_total{class="cache_read",endpoint="/v1/chat/completions",model="a",provider="x"} 5.0
ai_tokens_total{class="output",endpoint="/v1/chat/completions",model="a",provider="x"} 12.0
ai_cost_usd_total{endpoint="/v1/chat/completions",model="a",provider="x"} 0.000000123
process_start_time_seconds 1767225600.25
"""
WANTED = Sums(calls=3, input_tokens=30, output_tokens=12, cost_nano=123)


def test_a_scrape_is_added_up_by_route() -> None:
    sums, started_us = counted([SCRAPE])
    assert sums["/v1/chat/completions"] == WANTED
    assert started_us == 1_767_225_600_250_000
    twice, _ = counted([SCRAPE, SCRAPE.replace("1767225600.25", "1767225700")])
    assert twice["/v1/chat/completions"].calls == 6
    with pytest.raises(ValueError, match="process_start_time_seconds"):
        counted(["<html>"])


def test_books_count_what_processes_could_count() -> None:
    started = 1_767_225_600_000_000
    records = [
        ended("a", started_us=started, usage=Usage(input=10, output=4), cost_nano=100),
        ended("b", started_us=started + 1, usage=Usage(input=20, output=8), cost_nano=23),
        ended("c", started_us=started + 2, error=INTERRUPTED, status=499, usage=Usage(input=1)),
        ended("d", started_us=started - 1, usage=Usage(input=1)),
    ]
    with memory_database() as database:

        def work(connection):  # type: ignore[no-untyped-def]  # one transaction
            for record in records:
                connection.execute(calls.insert().values(row_of(record)))
            return booked(connection, since_us=started)

        sums = database.run(work)
    assert list(sums.values()) == [Sums(calls=2, input_tokens=30, output_tokens=12, cost_nano=123)]


def test_every_difference_is_named_and_functions_of_a_program_are_none() -> None:
    in_metrics, _ = counted([SCRAPE])
    assert list(differences({"/v1/chat/completions": WANTED}, in_metrics)) == []
    off = {"/v1/chat/completions": Sums(calls=4, input_tokens=30, output_tokens=12, cost_nano=122)}
    assert list(differences(off, in_metrics)) == [
        "/v1/chat/completions: the books have 4 calls, the metrics 3",
        "/v1/chat/completions: the books have 122 cost_nano, the metrics 123",
    ]
    assert len(list(differences({}, in_metrics))) == 4
