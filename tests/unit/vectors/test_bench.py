"""What a measurement says is what happened: counted by a clock that the test moves, against stores that forget."""

import asyncio
import xml.etree.ElementTree as ET

import pytest

from tests.support.memory_vectors import MemoryStore
from undercroft.vectors.bench import Bench, Course, faster_at, percentile, rounded
from undercroft.vectors.data_sets import judged, mixture
from undercroft.vectors.judging import Question
from undercroft.vectors.plot import recall_plot
from undercroft.vectors.types import Hit, Query

DATA = mixture(150, 8, queries=10)
COURSE = Course(efforts=(None, 50), shares=(1.0, 0.1), clients=(1, 3), seconds=0.2)


class Watch:
    """A clock that each look at it moves by a hundredth of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Forgetful(MemoryStore):
    """Loses the best hit unless it makes an effort, and the last one of what is filtered."""

    async def search(self, collection: str, query: Query) -> list[Hit]:
        hits = await super().search(collection, query)
        kept = hits if query.effort else hits[1:]
        return kept[:-1] if query.where is not None else kept


def bench(watch: Watch, steps: list[int] | None = None) -> Bench:
    advance = (lambda _: None) if steps is None else steps.append
    return Bench(DATA, COURSE, monotonic=watch, sleep=watch.sleep, advance=advance)


def test_recall_is_the_share_of_the_true_nearest() -> None:
    report = asyncio.run(bench(Watch()).run(Forgetful(), "measured"))
    found = {(one.effort, one.share): (one.recall, one.short) for one in report.measured if one.mode == "dense"}
    assert found == {(None, 1.0): (0.9, 10), (50, 1.0): (1.0, 0), (None, 0.1): (0.8, 10), (50, 0.1): (0.9, 10)}
    assert report.build.points == 150


def test_a_rate_is_what_was_answered_in_the_time_it_took() -> None:
    steps: list[int] = []
    measuring = bench(Watch(), steps)
    report = asyncio.run(measuring.run(MemoryStore(), "measured"))
    for one in report.measured:
        if one.mode == "hybrid" and one.clients > 1:
            continue  # its halves are asked for at once, and so are several of them
        # The store never waits, so one search follows another: two looks at the clock for each.
        assert one.p50_ms == pytest.approx(10, rel=0.01)
        assert one.qps == pytest.approx(one.searches / (1 / 50 * one.searches), rel=0.05)
    assert [one.mode for one in report.measured].count("hybrid") == len(COURSE.clients)
    assert sum(steps) == measuring.steps()


def test_questions_are_judged_by_every_kind_of_search() -> None:
    points = DATA.points[:20]
    questions = [Question(text=point.text or "", vector=point.vector, gains={point.id: 1.0}) for point in points[:4]]
    data = judged("asked", points, questions)
    watch = Watch()
    measuring = Bench(data, COURSE, monotonic=watch, sleep=watch.sleep)
    quality = {one.mode: one for one in asyncio.run(measuring.run(Forgetful(), "measured")).quality}
    assert set(quality) == {"dense", "words", "hybrid"}
    # The forgetful store never brings the nearest, which is the one that answers.
    assert (quality["dense"].recall, quality["dense"].ndcg, quality["dense"].mrr) == (0, 0, 0)
    assert (quality["words"].questions, quality["words"].recall) == (4, 1.0)
    assert not asyncio.run(bench(Watch()).run(MemoryStore(), "measured")).quality


def test_nothing_is_left_behind() -> None:
    async def run() -> None:
        store = MemoryStore()
        await bench(Watch()).run(store, "measured")
        assert not await store.collections()

    asyncio.run(run())


def test_the_fastest_is_chosen_among_those_with_the_recall() -> None:
    report = asyncio.run(bench(Watch()).run(Forgetful(), "measured"))
    best = faster_at(report, 0.99)
    assert best is not None
    assert best.effort == 50
    assert faster_at(report, 0.99, share=0.1) is None
    assert rounded(best).qps == round(best.qps, 1)


def test_percentiles_are_by_the_nearest_rank() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.01) == 7


def test_the_picture_shows_every_store_and_point() -> None:
    reports = [asyncio.run(bench(Watch()).run(store, "measured")) for store in (Forgetful(), MemoryStore())]
    drawn = recall_plot(reports)
    root = ET.fromstring(drawn)
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert len(root.findall("svg:polyline", names)) == 2
    circles = root.findall("svg:circle", names)
    assert len(circles) == 4
    assert all(0 < float(one.attrib["cx"]) < 760 and 0 < float(one.attrib["cy"]) < 460 for one in circles)
    with pytest.raises(ValueError, match="nothing was measured"):
        recall_plot(reports, share=0.3)
