"""What is said about a chart that somebody has edited."""

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker


def test_what_we_render_has_nothing_wrong_with_it(checked: Checker) -> None:
    assert checked("helm").findings == []


@pytest.mark.parametrize(
    ("change", "where", "text"),
    [
        (("templates/pdb.yaml", ".Release.Name", ".Values.nmae"), "templates/pdb.yaml", "asks for .Values.nmae"),
        (
            ("templates/hpa.yaml", ".Values.api.maxReplicas", ".Values.api.most"),
            "templates/hpa.yaml",
            "asks for .Values.api.most, which values.yaml does not have",
        ),
        (
            ("templates/service.yaml", '"undercroft.labels"', '"undercroft.lables"'),
            "templates/service.yaml",
            "includes 'undercroft.lables', which no template defines",
        ),
        (("templates/hpa.yaml", "{{- end }}\n", ""), "templates/hpa.yaml", "opens 1 blocks and closes 0"),
        (("values.yaml", "spool:", "spol:"), "values.yaml", "is used by no template"),
        (("Chart.yaml", "apiVersion: v2", "apiVersion: v1"), "Chart.yaml", "write v2"),
        (("Chart.yaml", 'version: "1.0.0"\n', ""), "Chart.yaml", "lacks version"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(checked: Checker, change: Change, where: str, text: str) -> None:
    found = [each for each in checked("helm", change).findings if text in each.text]

    assert [each.file for each in found] == [where]
