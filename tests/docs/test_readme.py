"""README: links that lead somewhere, and a performance table that is what was measured."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.checkout import ROOT

README = (ROOT / "README.md").read_text("utf-8")
RESULTS = ROOT / "benchmarks" / "results" / "gateway.json"


def figures(cpu_us: float) -> dict[str, object]:
    return {
        "first_answer_s": 0.61,
        "loaded_pss_mb": 61.2,
        "one_connection": {"p50_ms": 0.401, "cpu_us_per_answer": cpu_us},
        "saturated_64": {"p99_ms": 12.34, "cpu_us_per_answer": cpu_us},
        "stream_16": {"cpu_us_per_answer": 20 * cpu_us},
    }


def test_the_table_says_what_was_measured(bench_readme: ModuleType) -> None:
    result = {
        "machine": {"cores": 2, "system": "Linux", "python": "3.11.7"},
        "rounds": 3,
        "contenders": {"undercroft": figures(150), "nginx": figures(50)},
        "ratios": {"undercroft": {"saturated_64_cpu_x_nginx": 3.0, "stream_16_cpu_x_nginx": 2.04}},
    }

    page = bench_readme.filled("a\n<!-- bench:gateway -->\nold\n<!-- /bench -->\nb\n", result)

    assert "old" not in page
    assert re.findall(r"^\| (?:nginx|undercroft).*", page, re.MULTILINE) == [
        "| nginx | 50 µs | 1000 µs | 0.40 ms | 12.3 ms | 61 MB | 0.6 s |",
        "| undercroft | 150 µs (3.0x) | 3000 µs (2.0x) | 0.40 ms | 12.3 ms | 61 MB | 0.6 s |",
    ]
    assert bench_readme.filled(page, result) == page


def test_the_table_in_the_readme_is_that_of_the_results(bench_readme: ModuleType) -> None:
    shown = bench_readme.REGION.findall(README)
    if RESULTS.exists():
        assert bench_readme.filled(README, json.loads(RESULTS.read_text("utf-8"))) == README, (
            "type: python -m benchmarks.readme"
        )
    else:
        assert shown == [""], "nothing was measured, so nothing may be shown"


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_a_link_leads_somewhere(link: str) -> None:
    file, _, _ = link.partition("#")

    assert (ROOT / Path(file)).is_file()
