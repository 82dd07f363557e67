"""Points come back as they were stored, once each, and are gone when they are deleted."""

import asyncio
import random

from undercroft.testing.vector_data import far_apart, made_points, random_vector
from undercroft.testing.vectors.subject import Subject, are_near, demand_same
from undercroft.vectors.filters import Exists, Range, matches
from undercroft.vectors.types import Point, Query, Value, vector_of


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
    assert are_near(back[1].vector, points[0].vector), f"{points[0].vector} came back as {back[1].vector}"
    hits = await subject.store.search(spec.name, Query(vector=points[0].vector, limit=1, with_vectors=True))
    assert hits[0].vector is not None
    assert are_near(hits[0].vector, points[0].vector)
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
    demand_same({hit.id for hit in hits}, left, "after the deletion, the search")


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
