"""Data of a measurement: always the same, held-out queries are none of the points, and wrong lines are named."""

from pathlib import Path

import pytest

from undercroft.errors import InvalidRequest
from undercroft.testing.vector_data import made_points
from undercroft.vectors.data_sets import FIELD, Exact, filter_of, mixture, own, read_points
from undercroft.vectors.exact import nearest
from undercroft.vectors.filters import matches
from undercroft.vectors.types import Metric, Query


def test_made_data_are_the_same_for_a_seed() -> None:
    one, again, other = mixture(300, 16), mixture(300, 16), mixture(300, 16, seed=1)
    assert one == again
    assert one.points != other.points
    assert not {point.id for point in one.points} & {query.id for query in one.queries}
    assert one.has_texts


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("share", [1.0, 0.1, 0.001])
def test_the_truth_is_what_comparing_everything_finds(metric: Metric, share: float) -> None:
    data = mixture(500, 16)
    exact = Exact(data, metric)
    where = filter_of(share)
    fitting = [point for point in data.points if matches(where, point.metadata)]
    for asked in data.queries[:5]:
        query = Query(vector=asked.vector)
        wanted = {hit.id for hit in nearest(metric, query, fitting)}
        assert exact.nearest(query, share=share) == wanted
        assert len(wanted) == min(10, len(fitting))


def test_ones_own_points_are_held_out_for_queries() -> None:
    import random

    points = made_points(random.Random(1), 400)
    data = own("notes", points)
    assert len(data.points) + len(data.queries) == 400
    assert len(data.queries) == 40
    assert all(0 <= float(str(point.metadata[FIELD])) <= 1 for point in data.points)
    choosing, judging = data.halves()
    assert not set(map(id, choosing.queries)) & set(map(id, judging.queries))
    with pytest.raises(InvalidRequest, match="at least 100"):
        own("notes", points[:50])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "points.jsonl:2: this is no JSON"),
        ("[1]", "points.jsonl:2: the line is no object"),
        ('{"id": "b", "values": [1]}', "unknown key 'values'"),
        ('{"vector": [1, 2]}', "id and text are texts"),
        ('{"id": "b", "vector": [1]}', "its vector has 1 numbers, the first one has 2"),
        ('{"id": "b", "vector": [1, "x"]}', "vector is no list of numbers"),
        ('{"id": "b", "vector": 3}', "vector is no list of numbers"),
        ('{"id": "b"}', "points.jsonl:2: there is no vector"),
    ],
)
def test_a_line_that_is_no_point_is_named(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    path.write_text('{"id": 7, "vector": [1, 2], "metadata": {"tags": ["a"]}}\n' + line)
    with pytest.raises(InvalidRequest) as caught:
        read_points(path)
    assert told in str(caught.value)
    path.write_text("")
    with pytest.raises(InvalidRequest, match="holds no points"):
        read_points(path)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_points(tmp_path / "none")
