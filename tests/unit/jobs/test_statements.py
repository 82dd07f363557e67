"""One statement, two databases."""

from undercroft.jobs.statements import _text


def test_marks_and_parameters_are_put_in_each_databases_own_words() -> None:
    statement = "SELECT {now} FROM jobs WHERE id {in}{items(ids)}{ni} AND state = :state {locked}"
    assert _text("sqlite", statement) == (
        "SELECT :wall_us FROM jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND state = :state "
    )
    assert _text("postgresql", statement) == (
        "SELECT CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint) FROM jobs "
        "WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(%(ids)s AS jsonb)))) AND state = %(state)s "
        "FOR UPDATE SKIP LOCKED"
    )


def test_a_lease_goes_by_a_clock_that_no_change_of_the_time_moves() -> None:
    assert _text("sqlite", "{steady}") == ":steady_us"
