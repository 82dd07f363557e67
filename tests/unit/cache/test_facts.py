"""What may differ between two questions that get the same answer, and what may not."""

from pathlib import Path

import pytest

from undercroft.cache.facts import LONGEST, facts_of

CORPUS = Path(__file__).parent / "questions.txt"


def pairs() -> list[tuple[str, str, str]]:
    """Kind, one question and the other: `{a|b}` in a line is `a` in the one and `b` in the other."""
    found, kind = [], ""
    for line in CORPUS.read_text().splitlines():
        if line.startswith("# "):
            kind = line[2:]
        elif line:
            one, other = _spelled_out(line)
            found.append((kind, one, other))
    return found


def _spelled_out(line: str) -> tuple[str, str]:
    sides = ["", ""]
    for piece in line.replace("}", "{").split("{"):
        halves = piece.split("|")
        for side in (0, 1):
            sides[side] += halves[side] if len(halves) == 2 else piece
    return sides[0], sides[1]


CHANGED = [pair for pair in pairs() if pair[0] != "the same"]
SAME = [pair for pair in pairs() if pair[0] == "the same"]


def test_the_corpus_is_as_large_as_is_promised() -> None:
    assert len(CHANGED) >= 200
    kinds = [kind for kind, _, _ in CHANGED]
    assert {kind: kinds.count(kind) >= 50 for kind in set(kinds)} == {
        "a changed number": True,
        "a changed negation": True,
        "a changed name": True,
    }
    assert all(one != other for _, one, other in CHANGED)


@pytest.mark.parametrize(("kind", "one", "other"), CHANGED)
def test_a_changed_number_negation_or_name_changes_the_facts(kind: str, one: str, other: str) -> None:
    assert facts_of(one) != facts_of(other) or facts_of(one) is None


@pytest.mark.parametrize(("kind", "one", "other"), SAME)
def test_other_words_around_the_same_question_change_nothing(kind: str, one: str, other: str) -> None:
    assert facts_of(one) == facts_of(other) is not None


@pytest.mark.parametrize("text", ["def f(x): return x[0]", "a = 1", "one\ntwo", "| a | b |", "x" * (LONGEST + 1), "?!"])
def test_code_tables_long_and_empty_texts_have_no_facts_to_compare(text: str) -> None:
    assert facts_of(text) is None or text == "?!"


def test_the_order_of_names_is_a_fact() -> None:
    assert facts_of("Does Anna owe Ben money?") != facts_of("Does Ben owe Anna money?")
