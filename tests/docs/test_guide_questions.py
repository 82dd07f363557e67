"""The questions of benchmarks/retrieval.py are about sections that the guides have."""

import json
import re

import pytest

from tests.support.checkout import ROOT

QUESTIONS = [json.loads(line) for line in (ROOT / "benchmarks/guide_questions.jsonl").read_text("utf-8").splitlines()]


def test_there_are_enough_to_tell_kinds_of_search_apart() -> None:
    assert len(QUESTIONS) >= 50
    assert len({question["text"] for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("guide", sorted({question["guide"] for question in QUESTIONS}))
def test_every_question_is_answered_by_a_section(guide: str) -> None:
    text = (ROOT / "docs/guides" / guide).read_text("utf-8")
    headings = set(re.findall(r"(?m)^#{1,4} (.+)$", text))
    assert {question["section"] for question in QUESTIONS if question["guide"] == guide} <= headings
