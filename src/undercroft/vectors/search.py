"""A search as people mean it: by meaning, by words, or both, grouped by document, with the passages that tell why."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from undercroft.vectors.errors import InvalidQuery
from undercroft.vectors.filters import Filter
from undercroft.vectors.store import TextSearch, VectorStore
from undercroft.vectors.types import Hit, Query, TextQuery, Vector

RANK: Final = 60
"""The constant of reciprocal-rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""
DEEP: Final = 3
"""How many times the wanted hits each half of a hybrid search brings."""
MOST: Final = 10_000
SHORTEST_STEM: Final = 4
"""Words agree when they share their beginning, this long at least: `tower` and `towers`."""

Mode = Literal["dense", "words", "hybrid"]


class Weights(msgspec.Struct, frozen=True):
    """What each half of a hybrid search counts."""

    dense: float = 1.0
    words: float = 1.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for. `dense` needs `vector`, `words` needs `text`, `hybrid` both."""

    mode: Mode = "dense"
    vector: "Vector[float] | None" = None
    text: str | None = None
    limit: int = 10
    where: Filter | None = None
    namespace: str = ""
    threshold: float | None = None
    """Least score: of `dense` the metric's, of `words` the words' weight, of `hybrid` between 0 and 1."""
    weights: Weights = Weights()
    effort: int | None = None
    group_by: str | None = None
    """A metadata field: hits with the same value come as one group, the best first."""
    group_size: int = 1
    """Hits of one group, at most. `limit` counts groups."""
    highlight: bool = False
    """Whether `text`'s words are looked for in the hits' texts."""


class Span(msgspec.Struct, frozen=True):
    """A part of a text, in characters from its start."""

    start: int
    end: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A hit, and where its text says what was asked for."""

    hit: Hit
    passage: Span | None = None
    """The sentences with most of the words."""
    words: tuple[Span, ...] = ()
    """The words in it."""


async def search(store: VectorStore, collection: str, request: Request) -> list[Found]:
    """The best hits, best first; groups follow one another by their best hit. Raises InvalidQuery and the store's."""
    _check(store, request)
    wanted = request.limit
    if request.group_by is None:
        hits = await _hits(store, collection, request, wanted)
    else:
        hits = await _grouped(store, collection, request, request.group_by)
    return [_highlighted(hit, request) for hit in hits]


def fuse(rankings: Sequence[tuple[float, Sequence[Hit]]], *, limit: int) -> list[Hit]:
    """Reciprocal-rank fusion: a hit counts weight / (60 + rank) for each ranking that has it.

    Scores are divided by what first place in all rankings would give, so 1 is the best there can be. Equal scores are
    in the order of the first ranking that has them.
    """
    scores: dict[str, float] = {}
    known: dict[str, Hit] = {}
    for weight, hits in rankings:
        for rank, hit in enumerate(hits, 1):
            scores[hit.id] = scores.get(hit.id, 0.0) + weight / (RANK + rank)
            known.setdefault(hit.id, hit)
    best = sum(weight for weight, _ in rankings) / (RANK + 1)
    ordered = sorted(scores, key=lambda name: -scores[name])[:limit]
    return [msgspec.structs.replace(known[name], score=scores[name] / best) for name in ordered]


def grouped(hits: Iterable[Hit], field: str, *, groups: int, size: int) -> list[Hit]:
    """The first groups that the hits make up, at most `size` hits of each. Hits without the field stand alone."""
    members: dict[object, list[Hit]] = {}
    for hit in hits:
        value = hit.metadata.get(field)
        key = (type(value).__name__, value) if value is not None else ("alone", hit.id)
        group = members.setdefault(key, [])
        if len(group) < size:
            group.append(hit)
    return [hit for group in list(members.values())[:groups] for hit in group]


def passage(text: str, query: str, *, longest: int = 300) -> tuple[Span | None, tuple[Span, ...]]:
    """The part of the text with the most of the query's words, at most `longest` characters, and the words in it."""
    wanted = {_stem(word) for word in re.findall(r"\w+", query.lower())}
    places = [
        (Span(match.start(), match.end()), stem)
        for match in re.finditer(r"\w+", text)
        if (stem := _stem(match[0].lower())) in wanted
    ]
    if not places:
        return None, ()
    start, end = _widened(text, places[_densest(places, longest)][0].start, longest)
    return Span(start, end), tuple(span for span, _ in places if start <= span.start and span.end <= end)


def _densest(places: Sequence[tuple[Span, str]], longest: int) -> int:
    """The first of the places from which on most different words end within so many characters."""
    first, most, end = 0, 0, 0
    within: Counter[str] = Counter()
    for start, (span, stem) in enumerate(places):
        while end < len(places) and places[end][0].end - span.start <= longest:
            within[places[end][1]] += 1
            end += 1
        if len(within) > most:
            first, most = start, len(within)
        if end == start:  # a word that is longer than that
            end += 1
        elif within[stem] == 1:
            del within[stem]
        else:
            within[stem] -= 1
    return first


def _widened(text: str, start: int, longest: int) -> tuple[int, int]:
    """From the beginning of the sentence, where that is near, to the end of the last that fits whole."""
    before = max(text.rfind(mark, max(0, start - longest // 3), start) for mark in (". ", "! ", "? ", "\n"))
    begin = before + 1 if before >= 0 else max(0, start - longest // 6)
    begin += len(text[begin:start]) - len(text[begin:start].lstrip())
    if before < 0 and begin > 0:
        begin = text.find(" ", begin, start) + 1 or start
    end = min(len(text), max(begin + longest, start))
    if end < len(text):
        ends = [match.end() for match in re.finditer(r"[.!?](?=\s)", text[start:end])]
        end = start + ends[-1] if ends else max(text.rfind(" ", start, end), start + 1)
    return begin, end


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_STEM:
            return word.removesuffix(ending)
    return word


def _check(store: VectorStore, request: Request) -> None:
    if request.mode != "words" and request.vector is None:
        raise InvalidQuery(f"A {request.mode} search needs a vector.", param="vector")
    if request.mode != "dense":
        if not (request.text or "").strip():
            raise InvalidQuery(f"A {request.mode} search needs words.", param="text")
        if not store.abilities.has_text_search:
            raise InvalidQuery(f"The vector store {store.name!r} does not search by words.", param="mode")
    if min(request.weights.dense, request.weights.words) < 0 or request.weights.dense + request.weights.words <= 0:
        raise InvalidQuery("Weights are at least 0, and not both 0.", param="weights")
    if not 1 <= request.group_size <= MOST:
        raise InvalidQuery(f"The group size is {request.group_size}; it takes 1 to {MOST}.", param="group_size")


async def _grouped(store: VectorStore, collection: str, request: Request, field: str) -> list[Hit]:
    """Asks for more until there are enough groups, or no more hits."""
    asked = min(MOST, request.limit * request.group_size * DEEP)
    while True:
        hits = await _hits(store, collection, request, asked)
        made = grouped(hits, field, groups=request.limit, size=request.group_size)
        if len(_values(made, field)) >= request.limit or len(hits) < asked or asked == MOST:
            return made
        asked = min(MOST, asked * 4)


def _values(hits: Sequence[Hit], field: str) -> Mapping[object, None]:
    return dict.fromkeys(str(hit.metadata.get(field, hit.id)) for hit in hits)


async def _hits(store: VectorStore, collection: str, request: Request, limit: int) -> list[Hit]:
    if request.mode == "dense":
        return await store.search(collection, _dense(request, limit, threshold=request.threshold))
    assert isinstance(store, TextSearch)
    if request.mode == "words":
        hits = await store.search_text(collection, _words(request, limit))
    else:
        deep = min(MOST, limit * DEEP)
        words, dense = await asyncio.gather(  # words first: they are looked for in a thread
            store.search_text(collection, _words(request, deep)),
            store.search(collection, _dense(request, deep, threshold=None)),
        )
        hits = fuse([(request.weights.dense, dense), (request.weights.words, words)], limit=limit)
    return hits if request.threshold is None else [hit for hit in hits if hit.score >= request.threshold]


def _dense(request: Request, limit: int, *, threshold: float | None) -> Query:
    assert request.vector is not None
    return Query(
        vector=request.vector,
        limit=limit,
        where=request.where,
        namespace=request.namespace,
        threshold=threshold,
        effort=request.effort,
    )


def _words(request: Request, limit: int) -> TextQuery:
    return TextQuery(text=request.text or "", limit=limit, where=request.where, namespace=request.namespace)


def _highlighted(hit: Hit, request: Request) -> Found:
    if not request.highlight or not request.text or not hit.text:
        return Found(hit=hit)
    span, words = passage(hit.text, request.text)
    return Found(hit=hit, passage=span, words=words)
