"""The index that is found is the fastest that reaches the recall, and it is judged by other queries."""

import asyncio
from pathlib import Path

import pytest

from tests.support.memory_vectors import MemoryStore
from tests.unit.vectors.test_bench import Watch
from undercroft.errors import InvalidRequest
from undercroft.vectors.bench import Bench, Course
from undercroft.vectors.data_sets import DataSet, mixture
from undercroft.vectors.tune import INDEXES, Outcome, Tuned, read_tuned, tune, write_tuned
from undercroft.vectors.types import CollectionSpec, Hit, Query

DATA = mixture(100, 8, queries=20)
COURSE = Course(seconds=0.1)


class Graded(MemoryStore):
    """Finds more with more effort and connections; more connections take longer."""

    def __init__(self, watch: Watch, *, judged: set[bytes] = frozenset()) -> None:  # type: ignore[assignment]
        super().__init__()
        self._watch = watch
        self._judged = judged

    async def search(self, collection: str, query: Query) -> list[Hit]:
        spec: CollectionSpec = await self.describe(collection)
        hits = await super().search(collection, query)
        reached = (query.effort or 10) * spec.index.connectivity
        self._watch.now += spec.index.connectivity / 1000 + (query.effort or 10) / 10_000
        lost = 0 if reached >= 1024 else 2
        if query.vector.tobytes() in self._judged:
            lost = 5
        return hits[lost:]


def tuned(recall: float, *, judged: bool = False) -> Outcome:
    watch = Watch()
    others = {query.vector.tobytes() for query in DATA.halves()[1].queries} if judged else set()

    def bench(data: DataSet, course: Course) -> Bench:
        return Bench(data, course, monotonic=watch, sleep=watch.sleep)

    store = Graded(watch, judged=others)
    return asyncio.run(tune(store, "tuned", DATA, recall=recall, course=COURSE, bench=bench))


def test_the_least_effort_that_reaches_the_recall_is_found_for_each_index() -> None:
    outcome = tuned(0.98)
    assert [one.found.effort if one.found else None for one in outcome.tried] == [128, 64, 32]
    assert outcome.chosen is not None
    rates = [one.found.qps for one in outcome.tried if one.found]
    assert outcome.chosen.index == INDEXES[rates.index(max(rates))]
    assert outcome.is_reached


def test_a_lower_recall_takes_less_effort() -> None:
    assert [one.found.effort if one.found else None for one in tuned(0.8).tried] == [16, 16, 16]


def test_what_fails_on_other_queries_is_not_called_reached() -> None:
    outcome = tuned(0.98, judged=True)
    assert outcome.chosen is not None
    assert outcome.held_out is not None
    assert outcome.held_out.recall == pytest.approx(0.5)
    assert not outcome.is_reached


def test_what_cannot_be_reached_is_said_to_be_so() -> None:
    watch = Watch()
    every = {query.vector.tobytes() for query in DATA.queries}
    store = Graded(watch, judged=every)
    outcome = asyncio.run(
        tune(
            store,
            "tuned",
            DATA,
            recall=0.9,
            course=COURSE,
            bench=lambda data, course: Bench(data, course, monotonic=watch, sleep=watch.sleep),
        )
    )
    assert outcome.chosen is None
    assert not outcome.is_reached
    with pytest.raises(InvalidRequest, match="--recall"):
        tuned(1.5)


def test_what_was_tuned_is_read_again(tmp_path: Path) -> None:
    wanted = Tuned(index=INDEXES[2], effort=96)
    write_tuned(wanted, tmp_path / "tuned.toml")
    assert read_tuned(tmp_path / "tuned.toml") == wanted
    (tmp_path / "tuned.toml").write_text("effort = 'much'")
    with pytest.raises(InvalidRequest, match="holds no index"):
        read_tuned(tmp_path / "tuned.toml")
