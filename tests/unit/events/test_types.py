"""Every event type has a family with typed data, and patterns mean what they say."""

from typing import get_args

import pytest

from undercroft.events.types import FAMILIES, TYPES, Data, JobData, decode_data, is_pattern, matches


def test_every_type_belongs_to_a_family_with_data() -> None:
    assert {each.partition(".")[0] for each in TYPES} == FAMILIES.keys()
    assert set(FAMILIES.values()) == set(get_args(Data))
    assert len(set(TYPES)) == len(TYPES)


def test_data_comes_back_typed_and_a_newer_field_is_passed_over() -> None:
    assert decode_data("job.dead", b'{"id":"job_1","kind":"chat","error":"x","new":1}') == JobData(
        id="job_1", kind="chat", error="x"
    )


@pytest.mark.parametrize(
    ("pattern", "type", "does"),
    [
        ("*", "job.dead", True),
        ("job.*", "job.dead", True),
        ("job.dead", "job.dead", True),
        ("job.*", "batch.failed", False),
        ("job.dead", "job.queued", False),
        ("jo.*", "job.dead", False),
    ],
)
def test_a_pattern_matches_a_type_a_family_or_all(pattern: str, type: str, does: bool) -> None:
    assert matches((pattern,), type) is does


@pytest.mark.parametrize("pattern", ["", "job", "job.", "job.*.x", "job.unheard", "**", ".*", "JOB.*"])
def test_a_pattern_that_no_event_has_is_none(pattern: str) -> None:
    assert not is_pattern(pattern)
