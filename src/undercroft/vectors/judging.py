"""Whether a search finds what people look for: questions with the points that answer them, by every kind of search."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from msgspec import Struct

from undercroft.errors import InvalidRequest
from undercroft.ranking import mrr, ndcg, recall
from undercroft.vectors.search import Mode, Request, search
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import Vector, vector_of


class Question(Struct, frozen=True, kw_only=True):
    """What somebody asks, and the points that answer it."""

    text: str
    vector: "Vector[float]"
    """Empty where the line of the file has none: one is made of the text."""
    gains: Mapping[str, float]
    """By the point's id, above 0: how good an answer it is."""


class Quality(Struct, frozen=True, kw_only=True):
    """Means over all questions, each between 0 and 1, of the first `limit` hits."""

    mode: Mode
    questions: int
    limit: int
    recall: float
    ndcg: float
    mrr: float


async def judge(
    store: VectorStore, collection: str, questions: Sequence[Question], *, mode: Mode, limit: int
) -> Quality:
    """Asks every question once. Raises what the search does."""
    found = []
    for question in questions:
        request = Request(mode=mode, vector=question.vector, text=question.text, limit=limit)
        found.append([each.hit.id for each in await search(store, collection, request)])
    pairs = [(ids, question.gains) for ids, question in zip(found, questions, strict=True)]
    return Quality(
        mode=mode,
        questions=len(questions),
        limit=limit,
        recall=fmean(recall(ids, gains, limit) for ids, gains in pairs),
        ndcg=fmean(ndcg(ids, gains, limit) for ids, gains in pairs),
        mrr=fmean(mrr(ids, gains, limit) for ids, gains in pairs),
    )


def modes_of(store: VectorStore) -> tuple[Mode, ...]:
    """The kinds of search that this store has."""
    return ("dense", "words", "hybrid") if store.abilities.has_text_search else ("dense",)


def read_questions(path: Path) -> list[Question]:
    """Questions of a JSONL file: `{"text", "relevant": ["id", …] or {"id": gain, …}, "vector"?}` a line.

    Raises InvalidRequest with the line that is none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.") from error
    questions = [_question(line, at=f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not questions:
        raise InvalidRequest(f"{path} holds no questions.")
    return questions


def _question(line: str, *, at: str) -> Question:
    try:
        written: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"{at}: this is no JSON: {error.msg}.") from error
    if not isinstance(written, dict) or (unknown := set(written) - {"text", "relevant", "vector"}):
        told = f"has an unknown key {min(unknown)!r}" if isinstance(written, dict) else "is no object"
        raise InvalidRequest(f"{at}: the line {told}; it takes text, relevant and vector.")
    text, vector = written.get("text"), written.get("vector", [])
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest(f"{at}: there is no text.")
    try:
        return Question(text=text, vector=vector_of(vector), gains=_gains(written.get("relevant"), at=at))
    except (TypeError, OverflowError) as error:
        raise InvalidRequest(f"{at}: vector is no list of numbers.") from error


def _gains(written: object, *, at: str) -> Mapping[str, float]:
    gains = written
    if isinstance(written, list) and all(isinstance(each, str) for each in written):
        gains = dict.fromkeys(written, 1)
    if not isinstance(gains, dict) or not gains or not all(map(_is_gain, gains.values())):
        raise InvalidRequest(f"{at}: relevant is a list of ids, or an object of ids with gains above 0; never empty.")
    return {name: float(gain) for name, gain in gains.items()}


def _is_gain(written: object) -> bool:
    is_number = isinstance(written, int | float) and not isinstance(written, bool)
    return is_number and math.isfinite(written) and written > 0  # type: ignore[operator,arg-type]  # a number, as was just seen
