"""Series as text."""

from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from undercroft.telemetry.exposition import OPENMETRICS, PROMETHEUS, decimal, negotiate, render
from undercroft.telemetry.slots import Family, Labels, Totals

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", PROMETHEUS),
        ("*/*", PROMETHEUS),
        ("text/html,application/xhtml+xml,*/*;q=0.8", PROMETHEUS),
        ("text/plain; version=0.0.4", PROMETHEUS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; version=1.0.0; charset=utf-8", OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.1,text/plain;q=0.9", PROMETHEUS),
        ("application/openmetrics-text;q=0", PROMETHEUS),
        ("application/openmetrics-text;version=2.0.0", PROMETHEUS),
        ("application/openmetrics-text;q=nonsense,;;,=", PROMETHEUS),
    ],
)
def test_the_form_follows_the_accept_header(accept: str, form: object) -> None:
    assert negotiate(accept) == form


def totals(*families: tuple[Family, dict[Labels, list[int]]]) -> Totals:
    return Totals(
        families={family.name: family for family, _ in families},
        values={family.name: values for family, values in families},
    )


EXAMPLE = totals(
    (Family("a_total", "counter", 'Say "a"\\ in\ntwo lines.', ("x",)), {("1",): [5], ('q"\\\n☃',): [2]}),
    (Family("b", "gauge", "B."), {(): [-7]}),
    (Family("c_seconds", "histogram", "C.", ("x",), 1000, (500, 1000)), {("1",): [1, 2, 4, 9500]}),
    (Family("d_usd_total", "counter", "D.", (), 10**9), {(): [12_000_000_345]}),
    (Family("unused", "gauge", "E."), {}),
)


def test_the_plain_form_reads_as_written() -> None:
    assert render(EXAMPLE, PROMETHEUS).decode() == (
        '# HELP a_total Say "a"\\\\ in\\ntwo lines.\n'
        "# TYPE a_total counter\n"
        'a_total{x="1"} 5\n'
        'a_total{x="q\\"\\\\\\n☃"} 2\n'
        "# HELP b B.\n"
        "# TYPE b gauge\n"
        "b -7\n"
        "# HELP c_seconds C.\n"
        "# TYPE c_seconds histogram\n"
        'c_seconds_bucket{x="1",le="0.5"} 1\n'
        'c_seconds_bucket{x="1",le="1.0"} 3\n'
        'c_seconds_bucket{x="1",le="+Inf"} 7\n'
        'c_seconds_count{x="1"} 7\n'
        'c_seconds_sum{x="1"} 9.5\n'
        "# HELP d_usd_total D.\n"
        "# TYPE d_usd_total counter\n"
        "d_usd_total 12.000000345\n"
    )


def test_openmetrics_names_counters_without_their_ending_and_says_where_it_ends() -> None:
    text = render(EXAMPLE, OPENMETRICS).decode()
    assert '# HELP a Say \\"a\\"\\\\ in\\ntwo lines.\n# TYPE a counter\na_total{x="1"} 5\n' in text
    assert text.endswith("d_usd_total 12.000000345\n# EOF\n")


names = st.text("abcxyz_", min_size=1, max_size=8).map(lambda name: f"m_{name}")
values = st.integers(0, 2**62)
labels = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029"), max_size=8), min_size=2, max_size=2
)


@st.composite
def families(draw: st.DrawFn) -> tuple[Family, dict[Labels, list[int]]]:
    kind: Literal["counter", "gauge", "histogram"] = draw(st.sampled_from(["counter", "gauge", "histogram"]))
    bounds = tuple(sorted(draw(st.sets(st.integers(1, 10**9), min_size=1, max_size=5)))) if kind == "histogram" else ()
    scale = draw(st.sampled_from([1, 1000, 10**6, 10**9]))
    name = f"{draw(names)}_{kind}{'_total' if kind == 'counter' else ''}"
    family = Family(
        name,
        kind,
        draw(st.text(st.characters(codec="utf-8", exclude_characters="\r\x85"), max_size=9)),
        ("x", "y"),
        scale,
        bounds,
    )
    series = draw(
        st.dictionaries(
            labels.map(tuple), st.lists(values, min_size=family.slots, max_size=family.slots), min_size=1, max_size=4
        )
    )
    return family, series


@given(st.lists(families(), max_size=4, unique_by=lambda pair: pair[0].name))
def test_prometheus_clients_parsers_read_what_was_counted(
    given_families: list[tuple[Family, dict[Labels, list[int]]]],
) -> None:
    made = totals(*given_families)
    plain = list(text_string_to_metric_families(render(made, PROMETHEUS).decode()))
    modern = list(openmetrics.text_string_to_metric_families(render(made, OPENMETRICS).decode()))  # type: ignore[no-untyped-call]  # prometheus_client left its types out
    for parsed in (plain, modern):
        found = {
            (sample.name, tuple(sample.labels.items())): sample.value for family in parsed for sample in family.samples
        }
        for family, series in given_families:
            for at, slots in series.items():
                key = (("x", at[0]), ("y", at[1]))
                if family.kind == "histogram":
                    assert found[f"{family.name}_count", key] == sum(slots[:-1])
                    assert found[f"{family.name}_bucket", (*key, ("le", "+Inf"))] == sum(slots[:-1])
                    assert found[f"{family.name}_sum", key] == pytest.approx(slots[-1] / family.scale)
                else:
                    assert found[family.name, key] == pytest.approx(slots[0] / family.scale)


@given(st.integers(-(2**70), 2**70), st.sampled_from([1, 10, 1000, 10**6, 10**9]))
def test_decimals_are_exact(value: int, scale: int) -> None:
    assert Fraction(decimal(value, scale)) * scale == value
