"""Data of a measurement: always the same, held-out queries are none of the points, and wrong lines are named."""

from pathlib import Path

import pytest

from undercroft.errors import InvalidRequest
from undercroft.testing.vector_data import made_points
from undercroft.vectors.data_sets import FIELD, Exact, filter_of, judged, mixture, own, read_points
from undercroft.vectors.exact import nearest
from undercroft.vectors.filters import matches
from undercroft.vectors.judging import Question
from undercroft.vectors.types import Metric, Query, vector_of


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


def test_questions_are_about_points_that_are_there_and_halved_with_their_queries() -> None:
    points = mixture(100, 4).points
    asked = [
        Question(text=f"q{place}?", vector=point.vector, gains={point.id: 1.0})
        for place, point in enumerate(points[:5])
    ]
    data = judged("notes", points, asked)
    choosing, judging = data.halves()
    assert [each.text for each in judging.questions] == [query.text for query in judging.queries] == ["q1?", "q3?"]
    assert len(choosing.questions) == 3
    assert len(data.points) == 100
    stray = Question(text="where?", vector=points[0].vector, gains={"nowhere": 1.0})
    with pytest.raises(InvalidRequest, match=r"'where\?' is answered by 'nowhere'; notes has no such id"):
        judged("notes", points, [*asked, stray])
    short = Question(text="short?", vector=vector_of([1, 2]), gains={points[0].id: 1.0})
    with pytest.raises(InvalidRequest, match="vectors of 2 and of 4 numbers"):
        judged("notes", points, [short])


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
        ('{"id": "b"}', "points.jsonl:2: there is neither a vector nor a text"),
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
