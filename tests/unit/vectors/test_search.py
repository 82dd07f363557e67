import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.memory_vectors import MemoryStore
from undercroft.vectors.errors import InvalidQuery
from undercroft.vectors.filters import Eq
from undercroft.vectors.search import Found, Request, Weights, fuse, grouped, passage, search
from undercroft.vectors.types import CollectionSpec, Hit, Point, vector_of

POINTS = [
    Point(id="crypt", vector=vector_of([1, 0]), metadata={"source": "church"}, text="A crypt lies under the church."),
    Point(id="tower", vector=vector_of([0.9, 0.1]), metadata={"source": "church"}, text="The church has two towers."),
    Point(id="bread", vector=vector_of([0, 1]), metadata={"source": "kitchen"}, text="Bread needs flour and water."),
    Point(id="castle", vector=vector_of([0.5, 0.5]), text="The tower of the castle fell."),
]


def found(**changes: Any) -> list[Found]:
    async def run() -> list[Found]:
        store = MemoryStore()
        await store.create(CollectionSpec(name="texts", dimension=2))
        await store.upsert("texts", POINTS)
        return await search(store, "texts", Request(**changes))

    return asyncio.run(run())


def ids(hits: Sequence[Found]) -> list[str]:
    return [one.hit.id for one in hits]


def test_each_mode_finds_by_its_own_means() -> None:
    assert ids(found(vector=vector_of([1, 0]), limit=2)) == ["crypt", "tower"]
    assert ids(found(mode="words", text="castle")) == ["castle"]
    assert ids(found(mode="hybrid", vector=vector_of([1, 0]), text="castle tower"))[0] == "castle"


def test_weights_say_which_half_counts() -> None:
    request = {"mode": "hybrid", "vector": vector_of([1, 0]), "text": "bread", "limit": 1}
    assert ids(found(**request, weights=Weights(1, 0.1))) == ["crypt"]
    assert ids(found(**request, weights=Weights(0.1, 1))) == ["bread"]


def test_filters_and_thresholds_hold_in_every_mode() -> None:
    where = Eq("source", "church")
    for mode in ("dense", "words", "hybrid"):
        hits = found(mode=mode, vector=vector_of([0, 1]), text="bread church tower", where=where)
        assert set(ids(hits)) == {"crypt", "tower"}
    best = found(mode="hybrid", vector=vector_of([1, 0]), text="crypt", threshold=0.99)
    assert ids(best) == ["crypt"]


def test_a_document_comes_once() -> None:
    hits = found(vector=vector_of([1, 0]), limit=3, group_by="source")
    assert ids(hits) == ["crypt", "castle", "bread"]
    pairs = found(vector=vector_of([1, 0]), limit=2, group_by="source", group_size=2)
    assert ids(pairs) == ["crypt", "tower", "castle"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"mode": "dense"}, "vector"),
        ({"mode": "words", "text": " "}, "text"),
        ({"mode": "hybrid", "text": "word"}, "vector"),
        ({"vector": vector_of([1, 0]), "group_by": "source", "group_size": 0}, "group_size"),
        ({"vector": vector_of([1, 0]), "weights": Weights(-1, 2)}, "weights"),
        ({"vector": vector_of([1, 0]), "weights": Weights(0, 0)}, "weights"),
    ],
)
def test_what_makes_no_search_is_refused(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        found(**changes)
    assert refused.value.param == param


def test_first_in_all_rankings_scores_one() -> None:
    hit, other = Hit(id="a", score=7), Hit(id="b", score=1)
    fused = fuse([(1, [hit, other]), (2, [hit])], limit=5)
    assert [(one.id, round(one.score, 3)) for one in fused] == [("a", 1.0), ("b", 0.328)]


@given(st.lists(st.lists(st.integers(0, 30), unique=True, max_size=20), min_size=1, max_size=3))
def test_fusion_never_loses_or_doubles_a_hit_and_is_in_order(rankings: list[list[int]]) -> None:
    fused = fuse([(1.0, [Hit(id=str(one), score=0) for one in ranking]) for ranking in rankings], limit=1000)
    assert {hit.id for hit in fused} == {str(one) for ranking in rankings for one in ranking}
    assert len({hit.id for hit in fused}) == len(fused)
    assert [hit.score for hit in fused] == sorted((hit.score for hit in fused), reverse=True)
    assert all(0 < hit.score <= 1 + 1e-9 for hit in fused)


def test_hits_without_the_field_stand_alone() -> None:
    hits = [Hit(id="a", score=2), Hit(id="b", score=1), Hit(id="c", score=0, metadata={"source": "x"})]
    assert len(grouped(hits, "source", groups=5, size=1)) == 3


def test_the_passage_is_where_most_different_words_are_together() -> None:
    text = "tower tower tower" + " and" * 40 + " the tower by the river" + " and" * 40 + " a river"
    span, words = passage(text, "tower river", longest=60)
    assert span is not None
    assert [text[word.start : word.end] for word in words] == ["tower", "river"]
    assert passage("towertowertower is long", "towertowertower", longest=5)[0] is not None


def test_the_passage_holds_the_words_that_were_asked_for() -> None:
    text = "Nothing here. " * 30 + "The castle had towers of stone. They fell in a storm." + " And so on." * 30
    span, words = passage(text, "which tower fell")
    assert span is not None
    part = text[span.start : span.end]
    assert part.startswith("The castle had towers of stone. They fell in a storm.")
    assert [text[word.start : word.end] for word in words] == ["towers", "fell"]
    assert passage(text, "zeppelin") == (None, ())


@given(st.text(alphabet="ab c.!?\n\u00e4", max_size=400), st.text(alphabet="ab c", max_size=20), st.integers(20, 200))
def test_a_passage_lies_in_its_text_and_is_no_longer_than_allowed(text: str, query: str, longest: int) -> None:
    span, words = passage(text, query, longest=longest)
    if span is not None:
        assert 0 <= span.start < span.end <= len(text)
        assert span.end - span.start <= longest + longest // 3 + 1
        assert all(span.start <= word.start < word.end <= span.end for word in words)
