"""What is said about a collector's pipelines."""

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker

FILE = "monitoring/collector.yml"


@pytest.mark.parametrize(
    ("change", "severity", "text"),
    [
        ((FILE, "exporters: [debug]", "exporters: [otlp]"), "error", "there is no 'otlp' under exporters"),
        ((FILE, "processors: [memory_limiter, batch]", "processors: [batch]"), "warning", "is in no pipeline"),
    ],
)
def test_pipelines_are_of_parts_that_are_there(checked: Checker, change: Change, severity: str, text: str) -> None:
    found = [each for each in checked("compose", change).findings if text in each.text]

    assert [(each.severity, each.file) for each in found] == [(severity, FILE)]
