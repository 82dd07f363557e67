"""Stores that find by words find what holds them."""

import msgspec

from undercroft.testing.vector_data import far_apart
from undercroft.testing.vectors.subject import Subject, demand_same, raised
from undercroft.vectors.errors import InvalidQuery
from undercroft.vectors.filters import Eq, Not, Range, matches
from undercroft.vectors.store import TextSearch
from undercroft.vectors.types import CollectionSpec, Hit, Point, TextQuery


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
    await raised(InvalidQuery, store.search_text(spec.name, TextQuery(text=" ")))


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
        demand_same({hit.id for hit in hits}, wanted, f"the words with {where}")
    assert not await store.search_text(spec.name, TextQuery(text="lantern"))


async def _found(store: TextSearch, spec: CollectionSpec, text: str) -> list[str]:
    hits: list[Hit] = await store.search_text(spec.name, TextQuery(text=text))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [hit.id for hit in hits]
