"""A record and its row say the same, and no record makes a row that a database refuses."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ledger import ended
from undercroft.ledger.entries import (
    LARGEST,
    LONGEST_STORY,
    LONGEST_TEXT,
    MOST_NANO,
    MOST_TAGS,
    MOST_TOKENS,
    columns_of,
    record_of,
    row_of,
)
from undercroft.record import CallRecord, Usage, Who
from undercroft.storage.schema import calls

plain_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=LONGEST_TEXT)
whole = st.integers(0, LARGEST)
tokens = st.integers(0, MOST_TOKENS)
records = st.builds(
    CallRecord,
    id=plain_text,
    started_us=whole,
    duration_us=whole,
    who=st.builds(Who, organisation=plain_text, team=plain_text, user=plain_text, key=plain_text),
    endpoint=plain_text,
    model=plain_text,
    provider=plain_text,
    status=st.integers(100, 599),
    usage=st.builds(Usage, input=tokens, output=tokens, cache_read=tokens, cache_write=tokens, reasoning=tokens),
    usage_estimated=st.booleans(),
    cost_nano=st.integers(0, MOST_NANO),
    price=plain_text,
    streamed=st.booleans(),
    tags=st.dictionaries(plain_text, plain_text, max_size=3),
)


@given(records)
def test_a_row_gives_its_record_back(record: CallRecord) -> None:
    assert record_of(row_of(record)) == record


def test_a_row_has_exactly_the_tables_columns() -> None:
    assert {*row_of(ended("a")), "spool"} == set(calls.columns.keys())


def test_what_no_database_stores_is_cut_to_fit() -> None:
    wild = ended(
        "a",
        model="m" * 10_000,
        end_user="a\0b",
        usage=Usage(input=2**70, output=-1),
        cost_nano=2**64,
        tags={f"{number}\0": "v" * 1000 for number in range(100)},
    )
    row = row_of(wild)
    assert (len(row["model"]), row["end_user"]) == (LONGEST_TEXT, "a\ufffdb")
    assert (row["input_tokens"], row["output_tokens"], row["cost_nano"]) == (MOST_TOKENS, 0, MOST_NANO)
    assert len(row["tags"]) == MOST_TAGS
    assert "\0" not in str(row["tags"])


def test_a_record_that_does_not_fit_leaves_its_neighbours_as_they_are() -> None:
    wild = ended("w" * 500, model="\0", cost_nano=-1, usage=Usage(output=2**70), tags={"t": "\0"}, trace="0" * 300)
    tame = ended("tame", model="model", tags={"t": "v"}, trace="0" * 32)
    columns = columns_of([tame, wild, tame])
    rows = [{name: column[place] for name, column in columns.items()} for place in range(3)]
    assert rows == [row_of(tame), row_of(wild), row_of(tame)]
    assert record_of(rows[0]) == tame
    assert (rows[1]["model"], rows[1]["cost_nano"], rows[1]["tags"]) == ("\ufffd", 0, {"t": "\ufffd"})
    assert (len(rows[1]["id"]), len(rows[1]["trace"])) == (LONGEST_TEXT, LONGEST_TEXT)


def test_every_text_and_every_number_without_a_known_end_is_made_to_fit() -> None:
    """A field that is added to the record must not be forgotten."""
    long, huge = "x" * 1000, 2**80
    texts = {name: long for name in CallRecord.__struct_fields__ if isinstance(getattr(ended("a"), name), str)}
    numbers = ("started_us", "duration_us", "first_token_us", "cost_nano")
    everyone = Who(organisation=long, team=long, user=long, key=long)
    usage = Usage(**dict.fromkeys(Usage.__struct_fields__, huge))
    row = row_of(ended("a", **texts | dict.fromkeys(numbers, huge), who=everyone, usage=usage))
    lengths = {name: len(value) for name, value in row.items() if isinstance(value, str)}
    assert {lengths.pop(name) for name in ("chosen", "because")} == {LONGEST_STORY}
    assert set(lengths.values()) == {LONGEST_TEXT}
    assert [name for name, value in row.items() if isinstance(value, int) and value > LARGEST] == []


def test_a_typical_row_stays_below_400_bytes() -> None:
    row = row_of(ended("req_019b4c1f2a00" + "0" * 20, trace="0" * 32, end_user="customer-4711"))
    values = [value for value in row.values() if value != {}]
    assert len(msgspec.msgpack.encode(values)) < 400
