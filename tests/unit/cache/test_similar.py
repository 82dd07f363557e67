"""Questions that say the same in other words, whatever an embedder makes of those that do not."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.clock import ManualClock
from tests.unit.cache.test_facts import CHANGED, SAME
from undercroft.cache.similar import Question, Similar, question_of
from undercroft.llm.types import ChatRequest, Message, Part


class Credulous:
    """An embedder to which all texts are the same: the facts alone stand between a question and a wrong answer."""

    def __init__(self, nearness: float = 1.0) -> None:
        self.asked: list[Sequence[str]] = []
        self._nearness = nearness

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked.append(texts)
        return [[1.0, 0.0], *[[self._nearness, 0.0]] * (len(texts) - 1)]


class Scene:
    def __init__(self, *, nearness: float = 1.0, max_questions: int = 100) -> None:
        self.clock = ManualClock()
        self.embed = Credulous(nearness)
        self.similar = Similar(self.embed, threshold=0.9, max_questions=max_questions, clock=self.clock)

    def add(self, text: str, id: str = "a", *, around: str = "here", seconds: int = 60) -> None:
        expires_us = self.clock.now_us() + seconds * 1_000_000
        self.similar.add(Question(around, text), id, expires_us=expires_us)

    def find(self, text: str, *, around: str = "here") -> str | None:
        return asyncio.run(self.similar.find(Question(around, text)))


@pytest.mark.parametrize(("kind", "one", "other"), CHANGED)
def test_no_answer_crosses_a_changed_number_negation_or_name(kind: str, one: str, other: str) -> None:
    scene = Scene()
    scene.add(one)
    assert scene.find(other) is None
    scene.add(other, "b")
    assert scene.find(one) in ("a", None)


@pytest.mark.parametrize(("kind", "one", "other"), SAME)
def test_the_same_question_in_other_words_is_found(kind: str, one: str, other: str) -> None:
    scene = Scene()
    scene.add(one)
    assert scene.find(other) == "a"


@pytest.mark.parametrize(("kind", "one", "other"), [*CHANGED, *SAME])
def test_nothing_is_ever_found_of_another_tenant(kind: str, one: str, other: str) -> None:
    scene = Scene()
    scene.add(one, around="tenant one")
    assert scene.find(one, around="tenant two") is None
    assert scene.find(other, around="tenant two") is None
    assert scene.embed.asked == []


def test_what_is_not_near_enough_is_not_found() -> None:
    scene = Scene(nearness=0.89)
    scene.add("What is the capital of France?")
    assert scene.find("Tell me the capital of France") is None


def test_a_question_without_a_candidate_costs_no_vector_and_one_with_costs_few() -> None:
    scene = Scene()
    scene.add("What is the capital of France?")
    assert scene.find("What is the capital of Finland?") is None
    assert scene.embed.asked == []
    assert [scene.find("Tell me the capital of France") for _ in range(2)] == ["a", "a"]
    assert [len(texts) for texts in scene.embed.asked] == [2, 1]


def test_what_has_expired_was_forgotten_or_did_not_fit_is_gone() -> None:
    scene = Scene(max_questions=2)
    scene.add("What is one?", "one", seconds=1)
    scene.clock.advance(2)
    assert scene.find("Tell me: one") is None
    scene.add("What is two?", "two")
    scene.similar.forget(Question("here", "What is two?"), "two")
    assert scene.find("Tell me: two") is None
    for word in ("three", "four", "five"):
        scene.add(f"What is {word}?", word)
    assert [scene.find(f"What is {word}") for word in ("three", "four", "five")] == [None, "four", "five"]


def test_only_a_users_plain_words_are_a_question() -> None:
    words = Message(role="user", content="Why?")
    before = (Message(role="system", content="Be short."),)
    parted = question_of(ChatRequest(model="m", messages=(*before, words)))
    assert parted is not None
    around, text = parted
    assert (text, around.messages[-1].content, around.messages[0]) == ("Why?", "", before[0])
    for last in (
        Message(role="tool", content="42"),
        Message(role="user", content=(Part(type="text", text="Why?"),)),
        Message(role="user", content=" "),
    ):
        assert question_of(ChatRequest(model="m", messages=(last,))) is None
    assert question_of(ChatRequest(model="m", messages=())) is None
