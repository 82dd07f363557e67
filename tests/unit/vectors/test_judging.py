"""Quality is what the definitions say of what was found; a line that is no question is named."""

import asyncio
from pathlib import Path

import pytest

from tests.support.memory_vectors import MemoryStore
from undercroft.errors import InvalidRequest
from undercroft.vectors.judging import Quality, Question, judge, modes_of, read_questions
from undercroft.vectors.types import CollectionSpec, Point, vector_of

POINTS = (
    Point(id="tower", vector=vector_of([1, 0]), text="The tower has two bells."),
    Point(id="crypt", vector=vector_of([0.9, 0.1]), text="A crypt lies under the church."),
    Point(id="bread", vector=vector_of([0, 1]), text="Bread is made of flour."),
)
QUESTIONS = (
    # By meaning the crypt comes second, by words first: it alone has the word.
    Question(text="crypt", vector=vector_of([1, 0]), gains={"crypt": 1.0}),
    # By meaning both are first and second, the better answer second; by words, bread alone is found.
    Question(text="bread", vector=vector_of([0.1, 0.9]), gains={"crypt": 3.0, "bread": 1.0}),
)


async def quality(mode: str) -> Quality:
    store = MemoryStore()
    await store.create(CollectionSpec(name="judged", dimension=2))
    await store.upsert("judged", POINTS)
    return await judge(store, "judged", QUESTIONS, mode=mode, limit=2)  # type: ignore[arg-type]  # a mode


def test_the_first_hits_are_judged_by_hand() -> None:
    dense = asyncio.run(quality("dense"))
    assert (dense.questions, dense.limit, dense.recall) == (2, 2, 1.0)
    assert dense.mrr == pytest.approx((1 / 2 + 1) / 2)
    # 1 / log2(3) is 0.63093; of the second question (1 + 3 * 0.63093) / (3 + 0.63093).
    assert dense.ndcg == pytest.approx((0.6309297535714575 + 0.7967075809905066) / 2)


def test_words_find_what_vectors_miss() -> None:
    words = asyncio.run(quality("words"))
    assert words.recall == pytest.approx((1 + 1 / 2) / 2)
    assert words.mrr == 1.0
    # Of the second question 1 / (3 + 0.63093).
    assert words.ndcg == pytest.approx((1 + 0.27541155237618664) / 2)
    assert modes_of(MemoryStore()) == ("dense", "words", "hybrid")


def test_questions_are_read_with_gains_or_without(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(
        '{"text": "a?", "relevant": ["x", "y"]}\n\n{"text": "b?", "relevant": {"z": 2}, "vector": [1, 0]}\n'
    )
    first, second = read_questions(path)
    assert (first.text, dict(first.gains), len(first.vector)) == ("a?", {"x": 1.0, "y": 1.0}, 0)
    assert (dict(second.gains), list(second.vector)) == ({"z": 2.0}, [1.0, 0.0])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "questions.jsonl:1: this is no JSON"),
        ("[]", "is no object"),
        ('{"text": "a", "answer": "b"}', "unknown key 'answer'"),
        ('{"text": " ", "relevant": ["x"]}', "there is no text"),
        ('{"text": "a"}', "relevant is a list of ids"),
        ('{"text": "a", "relevant": []}', "never empty"),
        ('{"text": "a", "relevant": {"x": 0}}', "gains above 0"),
        ('{"text": "a", "relevant": {"x": true}}', "gains above 0"),
        ('{"text": "a", "relevant": [1]}', "relevant is a list of ids"),
        ('{"text": "a", "relevant": ["x"], "vector": ["y"]}', "vector is no list of numbers"),
        ('{"text": "a", "relevant": ["x"], "vector": 3}', "vector is no list of numbers"),
        ("", "holds no questions"),
    ],
)
def test_a_line_that_is_no_question_is_named(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(line)
    with pytest.raises(InvalidRequest) as caught:
        read_questions(path)
    assert told in str(caught.value)
