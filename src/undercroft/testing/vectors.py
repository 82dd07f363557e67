"""What every vector store owes, as claims that any implementation can be run against.

@pytest.mark.parametrize("claim", vector_claims(MyStore.abilities), ids=name_of)
def test_my_store(claim: Claim) -> None:
    asyncio.run(claim(Subject(store=mine, numbers=numbers)))
"""

import asyncio
import math
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec

from undercroft.errors import UndercroftError
from undercroft.testing.vector_data import NEAR, far_apart, made_points, random_filter, random_vector
from undercroft.vectors.errors import (
    CollectionConflict,
    CollectionNotFound,
    DimensionMismatch,
    InvalidCollection,
    InvalidFilter,
    InvalidPoint,
    InvalidQuery,
)
from undercroft.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range, matches
from undercroft.vectors.store import TextSearch, VectorStore
from undercroft.vectors.types import (
    Abilities,
    CollectionSpec,
    FieldType,
    Hit,
    Metric,
    Point,
    Query,
    TextQuery,
    Value,
    vector_of,
)

WAIT_S = 10.0
"""How long a store that is not consistent may take to show what was written."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The store under test."""

    store: VectorStore
    numbers: "count[int]"
    """Of which collections are named: the same for all claims on the same store."""

    async def collection(self, **changes: Any) -> CollectionSpec:
        """A new, empty one of three dimensions."""
        spec = CollectionSpec(name=f"claims-{next(self.numbers)}", dimension=3)
        spec = msgspec.structs.replace(spec, **changes)
        await self.store.create(spec)
        return spec

    async def filled(self, points: Sequence[Point], *, namespace: str = "", **changes: Any) -> CollectionSpec:
        """A new one with these points, which can be seen."""
        spec = await self.collection(dimension=len(points[0].vector), **changes)
        await self.store.upsert(spec.name, points, namespace=namespace)
        await self.settled(spec, len(points), namespace=namespace)
        return spec

    async def settled(self, spec: CollectionSpec, number: int, *, namespace: str = "") -> None:
        """Returns when the namespace has so many points; of a consistent store, asks once."""
        found = 0
        for _ in range(1 if self.store.abilities.is_consistent else int(WAIT_S / 0.1)):
            if (found := await self.store.count(spec.name, namespace=namespace)) == number:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{number} points were written or left, and {found} are there")


Claim = Callable[[Subject], Coroutine[Any, Any, None]]


def vector_claims(abilities: Abilities) -> list[Claim]:
    """What a VectorStore of these abilities owes."""
    claims: list[Claim] = [
        a_collection_is_made_once,
        a_collection_of_another_kind_is_in_the_way,
        a_collection_that_is_not_there_is_said_so,
        a_dropped_collection_leaves_nothing,
        what_was_stored_comes_back,
        an_id_stands_for_its_last_point,
        the_nearest_come_first_by_every_metric,
        a_threshold_leaves_out_what_is_below,
        every_filter_chooses_what_the_evaluator_chooses,
        every_kind_of_value_fits_only_its_own,
        as_many_as_fit_come_back_whatever_the_filter,
        a_search_sees_what_was_just_written,
        namespaces_see_nothing_of_each_other,
        what_is_deleted_is_gone,
        pages_hold_every_point_once,
        many_searches_are_each_answered,
        a_batch_with_a_fault_changes_nothing,
        a_query_that_makes_no_sense_is_refused,
        declared_fields_are_the_only_ones,
        writers_and_readers_at_once_agree_in_the_end,
    ]
    if abilities.has_text_search:
        claims += [words_find_what_holds_them, words_are_only_sought_where_the_filter_fits]
    return claims


async def a_collection_is_made_once(subject: Subject) -> None:
    spec = await subject.collection(metric="dot")
    await subject.store.create(spec)
    described = await subject.store.describe(spec.name)
    assert (described.dimension, described.metric) == (3, "dot"), f"{spec} is described as {described}"
    names = [one.name for one in await subject.store.collections()]
    assert names.count(spec.name) == 1, f"{spec.name} is listed {names.count(spec.name)} times"


async def a_collection_of_another_kind_is_in_the_way(subject: Subject) -> None:
    spec = await subject.collection()
    others: tuple[dict[str, Any], ...] = ({"dimension": 4}, {"metric": "euclidean"}, {"fields": {"page": "number"}})
    for changes in others:
        await _raises(CollectionConflict, subject.store.create(msgspec.structs.replace(spec, **changes)))


async def a_collection_that_is_not_there_is_said_so(subject: Subject) -> None:
    store, point = subject.store, Point(id="a", vector=vector_of([1, 0, 0]))
    for asked in (
        store.describe("nowhere"),
        store.upsert("nowhere", [point]),
        store.get("nowhere", ["a"]),
        store.delete("nowhere", ["a"]),
        store.delete_where("nowhere", None),
        store.search("nowhere", Query(vector=point.vector)),
        store.count("nowhere"),
        store.scroll("nowhere"),
        store.stats("nowhere"),
    ):
        await _raises(CollectionNotFound, asked)
    await _raises(InvalidCollection, store.create(CollectionSpec(name="no name", dimension=3)))
    await _raises(InvalidCollection, store.create(CollectionSpec(name="none", dimension=0)))


async def a_dropped_collection_leaves_nothing(subject: Subject) -> None:
    spec = await subject.filled([Point(id="a", vector=vector_of([1, 0, 0]))])
    assert await subject.store.drop(spec.name)
    assert not await subject.store.drop(spec.name), "a collection was dropped twice"
    await subject.store.create(spec)
    await subject.settled(spec, 0)


async def what_was_stored_comes_back(subject: Subject) -> None:
    metadata: dict[str, Value] = {
        "title": "Größe “1”",
        "page": 7,
        "share": 0.25,
        "is_new": True,
        "tags": ("red", "green"),
    }
    points = [
        Point(id="first/1", vector=vector_of([0.6, 0.8, 0]), metadata=metadata, text="One passage."),
        Point(id="zweitens ü", vector=vector_of([0, 0, 1])),
    ]
    spec = await subject.filled(points)
    back = await subject.store.get(spec.name, ["zweitens ü", "nothing", "first/1"])
    assert [point.id for point in back] == ["zweitens ü", "first/1"]
    assert (back[1].text, back[0].text) == ("One passage.", None), f"the texts came back as {back}"
    assert dict(back[1].metadata) == metadata, f"{metadata} came back as {back[1].metadata}"
    assert isinstance(back[1].metadata["is_new"], bool), "a boolean came back as something else"
    assert not back[0].metadata
    assert _near(back[1].vector, points[0].vector), f"{points[0].vector} came back as {back[1].vector}"
    hits = await subject.store.search(spec.name, Query(vector=points[0].vector, limit=1, with_vectors=True))
    assert hits[0].vector is not None
    assert _near(hits[0].vector, points[0].vector)
    assert (hits[0].text, dict(hits[0].metadata)) == ("One passage.", metadata)


async def an_id_stands_for_its_last_point(subject: Subject) -> None:
    old = Point(id="a", vector=vector_of([1, 0, 0]), metadata={"old": True, "page": 1}, text="Before.")
    spec = await subject.filled([old, Point(id="b", vector=vector_of([0, 1, 0]))])
    await subject.store.upsert(spec.name, [Point(id="a", vector=vector_of([0, 0, 1]), metadata={"page": 2})])
    await subject.settled(spec, 2)
    (back,) = await subject.store.get(spec.name, ["a"])
    assert (dict(back.metadata), back.text) == ({"page": 2}, None), f"what was before shines through: {back}"
    (hit,) = await subject.store.search(spec.name, Query(vector=vector_of([0, 0, 1]), limit=1))
    assert hit.id == "a"
    assert not await subject.store.count(spec.name, Exists("old"))


async def the_nearest_come_first_by_every_metric(subject: Subject) -> None:
    rng = random.Random(1)  # noqa: S311 - data
    metrics: tuple[Metric, ...] = ("cosine", "dot", "euclidean")
    for metric in metrics:
        points = [
            Point(id=f"p{place}", vector=vector_of(rng.gauss(0, 1 + place % 3) for _ in range(8)))
            for place in range(60)
        ]
        if metric not in subject.store.abilities.metrics:
            continue
        spec = await subject.filled(points, metric=metric)
        for _ in range(5):
            query = Query(vector=random_vector(rng, 8), limit=10)
            wanted = sorted(((_score(metric, query.vector, p.vector), p.id) for p in points), reverse=True)[:10]
            hits = await subject.store.search(spec.name, query)
            assert [hit.id for hit in hits] == [name for _, name in wanted], f"by {metric}, {hits} are not {wanted}"
            for hit, (score, _) in zip(hits, wanted, strict=True):
                assert math.isclose(hit.score, score, rel_tol=NEAR, abs_tol=NEAR), f"{metric}: {hit} scores {score}"


async def a_threshold_leaves_out_what_is_below(subject: Subject) -> None:
    points = [Point(id=str(degrees), vector=_turned(degrees)) for degrees in (0, 30, 60, 90, 120)]
    spec = await subject.filled(points)
    hits = await subject.store.search(spec.name, Query(vector=_turned(0), threshold=0.49))
    assert [hit.id for hit in hits] == ["0", "30", "60"], f"at least 0.49 have {hits}"
    assert not await subject.store.search(spec.name, Query(vector=vector_of([0, 0, 1]), threshold=0.9))


async def every_filter_chooses_what_the_evaluator_chooses(subject: Subject) -> None:
    rng = random.Random(2)  # noqa: S311 - data
    points = made_points(rng, 150)
    spec = await subject.filled(points)
    for _ in range(120):
        where = random_filter(rng)
        wanted = {point.id for point in points if matches(where, point.metadata)}
        number = await subject.store.count(spec.name, where)
        assert number == len(wanted), f"{where} counts {number}; the evaluator {len(wanted)}"
        hits = await subject.store.search(spec.name, Query(vector=points[0].vector, limit=200, where=where))
        _same({hit.id for hit in hits}, wanted, f"the search with {where}")


async def every_kind_of_value_fits_only_its_own(subject: Subject) -> None:
    values: dict[str, Any] = {"text": "1", "number": 1, "float": 1.0, "true": True, "list": ("1", "x"), "zero": 0}
    values |= {"false": False, "big": 2**53, "less": 2**53 - 1, "half": 0.5, "quote": 'it\'s "so" \\ %_', "none": ""}
    points = [
        Point(id=name, vector=far_apart(place, 3), metadata={"value": value})
        for place, (name, value) in enumerate(values.items())
    ]
    spec = await subject.filled([*points, Point(id="missing", vector=vector_of([1, 1, 1]))])
    cases: list[tuple[Filter, set[str]]] = [
        (Eq("value", "1"), {"text", "list"}),
        (Eq("value", 1), {"number", "float"}),
        (Eq("value", value=True), {"true"}),
        (Eq("value", 0.0), {"zero"}),
        (Eq("value", 2**53 - 1), {"less"}),
        (Eq("value", values["quote"]), {"quote"}),
        (Eq("value", ""), {"none"}),
        (In("value", ("x", False, 0.5)), {"list", "false", "half"}),
        (In("value", ()), set()),
        (Range("value", gt=0), {"number", "float", "half", "big", "less"}),
        (Range("value", gte=0, lt=1), {"zero", "half"}),
        (Not(Exists("value")), {"missing"}),
        (Not(Eq("value", 1)), {*values, "missing"} - {"number", "float"}),
        (And(()), {*values, "missing"}),
        (Or(()), set()),
        (Eq("other", 1), set()),
    ]
    for where, wanted in cases:
        page = await subject.store.scroll(spec.name, where=where)
        _same({point.id for point in page.points}, wanted, str(where))


async def as_many_as_fit_come_back_whatever_the_filter(subject: Subject) -> None:
    """Points that fit lie far from the query, behind all that do not: an index that filters afterwards finds none."""
    rng = random.Random(3)  # noqa: S311 - data
    points = [
        Point(id=f"p{place}", vector=_around(place % 50 == 7, rng), metadata={"share": place % 50, "half": place % 2})
        for place in range(1500)
    ]
    spec = await subject.filled(points)
    query = Query(vector=vector_of([1.0] + [0.0] * 15), limit=10)
    for where in (Eq("share", 7), Range("share", gte=7, lte=8), Eq("half", 1), And((Eq("share", 7), Eq("half", 1)))):
        fit = sum(matches(where, point.metadata) for point in points)
        for limit in (10, 100):
            hits = await subject.store.search(spec.name, msgspec.structs.replace(query, where=where, limit=limit))
            wanted = min(limit, fit)
            assert len(hits) == wanted, f"{fit} points fit {where}, and {len(hits)} of {wanted} came back"
            assert all(matches(where, hit.metadata) for hit in hits), f"{hits} do not all fit {where}"


async def a_search_sees_what_was_just_written(subject: Subject) -> None:
    spec = await subject.collection(dimension=8)
    rng = random.Random(4)  # noqa: S311 - data
    for turn in range(20):
        points = [Point(id=f"{turn}-{place}", vector=random_vector(rng, 8)) for place in range(5)]
        await subject.store.upsert(spec.name, points)
        await subject.settled(spec, 5 * (turn + 1) - min(turn, 10))
        (hit,) = await subject.store.search(spec.name, Query(vector=points[0].vector, limit=1))
        assert hit.id == points[0].id, f"{points[0].id} was written, and its own vector finds {hit.id}"
        if turn < 10:
            await subject.store.delete(spec.name, [points[0].id])
            await subject.settled(spec, 5 * (turn + 1) - turn - 1)
            hits = await subject.store.search(spec.name, Query(vector=points[0].vector, limit=3))
            assert points[0].id not in [hit.id for hit in hits], "a deleted point was found"


async def namespaces_see_nothing_of_each_other(subject: Subject) -> None:
    point = Point(id="a", vector=vector_of([1, 0, 0]), metadata={"page": 1}, text="shared words")
    spec = await subject.filled([point], namespace="one")
    store = subject.store
    await store.upsert(spec.name, [point, Point(id="b", vector=vector_of([0, 1, 0]))], namespace="two")
    await subject.settled(spec, 2, namespace="two")
    assert not await store.search(spec.name, Query(vector=point.vector))
    assert len(await store.search(spec.name, Query(vector=point.vector, namespace="one"))) == 1
    assert not await store.get(spec.name, ["b"], namespace="one")
    assert dict((await store.stats(spec.name)).namespaces) == {"one": 1, "two": 2}
    assert await store.delete_where(spec.name, Eq("page", 1), namespace="two") == 1
    await subject.settled(spec, 1, namespace="two")
    await subject.settled(spec, 1, namespace="one")
    assert await store.delete_where(spec.name, None, namespace="two") == 1
    await subject.settled(spec, 0, namespace="two")
    await subject.settled(spec, 1, namespace="one")


async def what_is_deleted_is_gone(subject: Subject) -> None:
    points = made_points(random.Random(5), 60)  # noqa: S311 - data
    spec = await subject.filled(points)
    store = subject.store
    assert await store.delete(spec.name, [points[0].id, "nothing", points[1].id]) == 2
    await subject.settled(spec, 58)
    assert not await store.get(spec.name, [points[0].id])
    where = Range("number", gte=5)
    left = {point.id for point in points[2:] if not matches(where, point.metadata)}
    assert await store.delete_where(spec.name, where) == 58 - len(left)
    await subject.settled(spec, len(left))
    hits = await store.search(spec.name, Query(vector=points[0].vector, limit=100))
    _same({hit.id for hit in hits}, left, "after the deletion, the search")


async def pages_hold_every_point_once(subject: Subject) -> None:
    points = made_points(random.Random(6), 57)  # noqa: S311 - data
    spec = await subject.filled(points)
    for where in (None, Exists("number")):
        wanted = sorted(point.id for point in points if matches(where, point.metadata))
        seen: list[str] = []
        after = None
        while True:
            page = await subject.store.scroll(spec.name, where=where, after=after, limit=10)
            assert len(page.points) <= 10
            assert all(len(point.vector) == len(points[0].vector) for point in page.points)
            seen += [point.id for point in page.points]
            if (after := page.next) is None:
                break
        assert sorted(seen) == wanted, f"pages of {where} held {seen}"


async def many_searches_are_each_answered(subject: Subject) -> None:
    points = [
        Point(id=str(place), vector=far_apart(place, 16), metadata={"even": place % 2 == 0}) for place in range(16)
    ]
    spec = await subject.filled(points)
    queries = [Query(vector=point.vector, limit=1) for point in points]
    queries.append(Query(vector=points[1].vector, limit=3, where=Eq("even", value=True)))
    answers = await subject.store.search_many(spec.name, queries)
    assert [hits[0].id for hits in answers[:-1]] == [point.id for point in points]
    assert len(answers[-1]) == 3
    assert all(int(hit.id) % 2 == 0 for hit in answers[-1])
    assert not await subject.store.search_many(spec.name, [])


async def a_batch_with_a_fault_changes_nothing(subject: Subject) -> None:
    spec = await subject.filled([Point(id="a", vector=vector_of([1, 0, 0]), metadata={"page": 1})])
    good = Point(id="a", vector=vector_of([0, 1, 0]), metadata={"page": 2})
    huge = "x" * (subject.store.abilities.metadata_bytes + 1)
    faults: list[tuple[type[InvalidPoint], dict[str, Any]]] = [
        (DimensionMismatch, {"vector": vector_of([1, 0])}),
        (InvalidPoint, {"vector": vector_of([math.nan, 0, 0])}),
        (InvalidPoint, {"vector": vector_of([math.inf, 0, 0])}),
        (InvalidPoint, {"vector": vector_of([0, 0, 0])}),
        (InvalidPoint, {"text": "  "}),
        (InvalidPoint, {"text": "a\0b"}),
        (InvalidPoint, {"metadata": {"page": huge}}),
        (InvalidPoint, {"metadata": {"page": math.nan}}),
        (InvalidPoint, {"metadata": {"page": 2**60}}),
        (InvalidPoint, {"metadata": {"page": ()}}),
        (InvalidPoint, {"metadata": {"": 1}}),
        (InvalidPoint, {"id": "a"}),
        (InvalidPoint, {"id": ""}),
        (InvalidPoint, {"id": "x" * 1000}),
    ]
    for kind, changes in faults:
        bad = msgspec.structs.replace(Point(id="z", vector=vector_of([0, 0, 1])), **changes)
        error = await _raises(kind, subject.store.upsert(spec.name, [good, bad]))
        assert isinstance(error, InvalidPoint)
        assert error.position == 1, f"{error} is about points[1]"
    await subject.settled(spec, 1)
    (back,) = await subject.store.get(spec.name, ["a"])
    assert back.metadata["page"] == 1, "a refused batch changed a point"


async def a_query_that_makes_no_sense_is_refused(subject: Subject) -> None:
    spec = await subject.filled([Point(id="a", vector=vector_of([1, 0, 0]))])
    search, good = subject.store.search, Query(vector=vector_of([1, 0, 0]))
    faults: list[tuple[type[UndercroftError], dict[str, Any]]] = [
        (DimensionMismatch, {"vector": vector_of([1, 0])}),
        (InvalidQuery, {"vector": vector_of([math.nan, 0, 0])}),
        (InvalidQuery, {"vector": vector_of([0, 0, 0])}),
        (InvalidQuery, {"limit": 0}),
        (InvalidQuery, {"limit": 10**9}),
        (InvalidQuery, {"threshold": math.nan}),
        (InvalidQuery, {"effort": 0}),
        (InvalidQuery, {"namespace": "\n"}),
    ]
    for kind, changes in faults:
        error = await _raises(kind, search(spec.name, msgspec.structs.replace(good, **changes)))
        assert error.status == 400, f"{error} is the caller's fault, and its status is {error.status}"


async def declared_fields_are_the_only_ones(subject: Subject) -> None:
    fields: dict[str, FieldType] = {"title": "text", "page": "number", "is_new": "boolean", "tags": "texts"}
    spec = await subject.collection(fields=fields)
    assert dict((await subject.store.describe(spec.name)).fields) == fields
    metadata: dict[str, Value] = {"title": "One", "page": 3, "is_new": False, "tags": ("a", "b")}
    point = Point(id="a", vector=vector_of([1, 0, 0]), metadata=metadata)
    await subject.store.upsert(spec.name, [point])
    await subject.settled(spec, 1)
    for where in (
        Eq("title", "One"),
        Range("page", gte=3),
        Eq("is_new", value=False),
        Eq("tags", "b"),
        Not(Eq("page", 4)),
    ):
        assert await subject.store.count(spec.name, where) == 1, f"{where} does not fit {metadata}"
    for wrong in ({"other": 1}, {"page": "3"}, {"is_new": 0}, {"tags": "a"}, {"title": True}):
        bad = msgspec.structs.replace(point, metadata=wrong)
        await _raises(InvalidPoint, subject.store.upsert(spec.name, [bad]))
    query = Query(vector=point.vector, where=Or((Eq("page", 3), Eq("other", 1))))
    await _raises(InvalidFilter, subject.store.search(spec.name, query))
    await _raises(InvalidFilter, subject.store.count(spec.name, query.where))
    await _raises(InvalidFilter, subject.store.delete_where(spec.name, query.where))


async def writers_and_readers_at_once_agree_in_the_end(subject: Subject) -> None:
    spec = await subject.collection(dimension=8)

    async def write(writer: int) -> None:
        rng = random.Random(writer)  # noqa: S311 - data
        for turn in range(5):
            points = [Point(id=f"{place}", vector=random_vector(rng, 8)) for place in range(turn, 20 + turn)]
            await subject.store.upsert(spec.name, points)

    async def read() -> None:
        for _ in range(10):
            hits = await subject.store.search(spec.name, Query(vector=far_apart(0, 8), limit=30))
            assert len({hit.id for hit in hits}) == len(hits), f"a point was found twice: {hits}"

    await asyncio.gather(*(write(writer) for writer in range(3)), *(read() for _ in range(3)))
    await subject.settled(spec, 24)
    page = await subject.store.scroll(spec.name)
    assert sorted(point.id for point in page.points) == sorted(str(place) for place in range(24))


async def words_find_what_holds_them(subject: Subject) -> None:
    texts = [
        "A crypt lies under the church.",
        "The church has a tower and two bells.",
        "Bread is made of flour, water and salt.",
        "The tower of the castle fell in a storm.",
        "Salt was carried along this road.",
    ]
    points = [Point(id=f"t{place}", vector=far_apart(place, 8), text=text) for place, text in enumerate(texts)]
    spec = await subject.filled([*points, Point(id="wordless", vector=far_apart(6, 8))])
    store = subject.store
    assert isinstance(store, TextSearch)
    assert await _found(store, spec, "crypt") == ["t0"]
    assert (await _found(store, spec, "church tower"))[0] == "t1", "a passage with both words is not first"
    assert set(await _found(store, spec, "church tower")) == {"t0", "t1", "t3"}
    assert await _found(store, spec, "CASTLE!") == ["t3"], "capitals or punctuation make a difference"
    assert await _found(store, spec, 'nothing" OR -bread: kind*') == ["t2"], "signs are no words"
    assert not await _found(store, spec, "zeppelin")
    await store.upsert(spec.name, [msgspec.structs.replace(points[0], text="A zeppelin.")])
    await store.delete(spec.name, ["t3"])
    await subject.settled(spec, 5)
    assert await _found(store, spec, "zeppelin crypt castle") == ["t0"]
    await _raises(InvalidQuery, store.search_text(spec.name, TextQuery(text=" ")))


async def words_are_only_sought_where_the_filter_fits(subject: Subject) -> None:
    points = [
        Point(
            id=f"t{place}", vector=far_apart(place, 8), text=f"lantern {'lantern ' * place}", metadata={"page": place}
        )
        for place in range(8)
    ]
    spec = await subject.filled(points, namespace="one")
    store = subject.store
    assert isinstance(store, TextSearch)
    for where in (Eq("page", 0), Range("page", lt=3), Not(Range("page", gte=1))):
        wanted = {point.id for point in points if matches(where, point.metadata)}
        hits = await store.search_text(spec.name, TextQuery(text="lantern", where=where, namespace="one", limit=3))
        _same({hit.id for hit in hits}, wanted, f"the words with {where}")
    assert not await store.search_text(spec.name, TextQuery(text="lantern"))


async def _found(store: TextSearch, spec: CollectionSpec, text: str) -> list[str]:
    hits: list[Hit] = await store.search_text(spec.name, TextQuery(text=text))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [hit.id for hit in hits]


async def _raises(kind: type[UndercroftError], asked: Coroutine[Any, Any, Any]) -> UndercroftError:
    try:
        answer = await asked
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was due, and {answer!r} came")


def _same(found: set[str], wanted: set[str], what: str) -> None:
    assert found == wanted, f"{what}: too many {sorted(found - wanted)[:5]}, missing {sorted(wanted - found)[:5]}"


def _near(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(math.isclose(a, b, abs_tol=NEAR) for a, b in zip(one, other, strict=True))


def _score(metric: Metric, one: Sequence[float], other: Sequence[float]) -> float:
    if metric == "euclidean":
        return -math.dist(one, other)
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product if metric == "dot" else product / (math.hypot(*one) * math.hypot(*other))


def _turned(degrees: float) -> Any:
    return vector_of([math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0])


def _around(is_far: bool, rng: random.Random) -> Any:
    return vector_of([-1.0 if is_far else 1.0, *(rng.gauss(0, 0.1) for _ in range(15))])
