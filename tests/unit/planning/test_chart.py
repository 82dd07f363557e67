"""Pictures that any browser reads and that hold what they were given."""

import math
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from undercroft.planning.chart import line_chart, page, stacked

SVG = "{http://www.w3.org/2000/svg}"


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(-1e9, 1e9)), max_size=20), st.booleans())
def test_any_points_make_a_well_formed_picture_within_its_frame(
    points: list[tuple[float, float]], is_log: bool
) -> None:
    chart = ET.fromstring(line_chart("A <chart>", {"a & b": points}, x_label="x", y_label="y", is_log=is_log))

    for line in chart.iter(f"{SVG}polyline"):
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 820
            assert 0 <= y <= 320


def test_what_has_no_place_is_left_out() -> None:
    chart = line_chart("t", {"a": [(1, math.nan), (2, math.inf)]}, x_label="x", y_label="y")

    assert "polyline" not in chart
    assert "nothing to show" in chart


def test_charts_are_stacked_and_a_page_escapes_its_texts() -> None:
    one = line_chart("t", {"a": [(0, 1), (1, 2)]}, x_label="x", y_label="y")

    assert len(list(ET.fromstring(stacked([one, one])).iter(f"{SVG}polyline"))) == 2
    assert "<td>&lt;b&gt;</td>" in page("t", [one], rows=[{"n": "<b>"}])
