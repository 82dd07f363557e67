"""What cannot be is refused whole, with its place."""

import math
from typing import Any

import msgspec

from undercroft.errors import UndercroftError
from undercroft.testing.vectors.subject import Subject, raised
from undercroft.vectors.errors import DimensionMismatch, InvalidPoint, InvalidQuery
from undercroft.vectors.types import Point, Query, vector_of


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
        error = await raised(kind, subject.store.upsert(spec.name, [good, bad]))
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
        error = await raised(kind, search(spec.name, msgspec.structs.replace(good, **changes)))
        assert error.status == 400, f"{error} is the caller's fault, and its status is {error.status}"
