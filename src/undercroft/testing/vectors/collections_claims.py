"""Collections are made once, are what they were made as, and leave nothing when they go."""

from typing import Any

import msgspec

from undercroft.testing.vectors.subject import Subject, raised
from undercroft.vectors.errors import (
    CollectionConflict,
    CollectionNotFound,
    InvalidCollection,
    InvalidFilter,
    InvalidPoint,
)
from undercroft.vectors.filters import Eq, Not, Or, Range
from undercroft.vectors.types import CollectionSpec, FieldType, Point, Query, Value, vector_of


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
        await raised(CollectionConflict, subject.store.create(msgspec.structs.replace(spec, **changes)))


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
        await raised(CollectionNotFound, asked)
    await raised(InvalidCollection, store.create(CollectionSpec(name="no name", dimension=3)))
    await raised(InvalidCollection, store.create(CollectionSpec(name="none", dimension=0)))


async def a_dropped_collection_leaves_nothing(subject: Subject) -> None:
    spec = await subject.filled([Point(id="a", vector=vector_of([1, 0, 0]))])
    assert await subject.store.drop(spec.name)
    assert not await subject.store.drop(spec.name), "a collection was dropped twice"
    await subject.store.create(spec)
    await subject.settled(spec, 0)


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
        await raised(InvalidPoint, subject.store.upsert(spec.name, [bad]))
    query = Query(vector=point.vector, where=Or((Eq("page", 3), Eq("other", 1))))
    await raised(InvalidFilter, subject.store.search(spec.name, query))
    await raised(InvalidFilter, subject.store.count(spec.name, query.where))
    await raised(InvalidFilter, subject.store.delete_where(spec.name, query.where))


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
