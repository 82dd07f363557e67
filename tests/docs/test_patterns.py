"""The numbers of the guide to architecture patterns are those that were measured."""

import json

import pytest

from benchmarks import patterns

FIGURES = {"p50_ms": 1.26, "cpu_ms": 3.0, "ready_cpu_s": 0.71, "memory_mb": 80.4}


def result() -> dict[str, object]:
    found = {name: dict(FIGURES) for name in patterns.ROWS}
    found["queue"] = {"p50_ms": 9.0, "cpu_ms": 12.0, "accepted_p50_ms": 4.25}
    machine = {"cores": 2, "system": "Linux", "python": "3.11.7"}
    return {"date": "2026-01-02", "machine": machine, "rounds": 3, "calls": 200, "patterns": found}


def test_the_table_says_what_was_measured() -> None:
    page = patterns.filled("a\n<!-- bench:patterns -->\nstale\n<!-- /bench -->\nb\n", result())

    assert "stale" not in page
    assert "| monolith | one process, SQLite | 3.0 ms | 0.7 s | 80 MB | 1.3 ms |" in page
    assert "| queue | the same services, by a job | 12.0 ms |  |  | 9.0 ms |" in page
    assert "accepted after 4.2 ms" in page
    assert patterns.filled(page, result()) == page


def test_the_table_in_the_guide_is_that_of_the_results() -> None:
    page = patterns.GUIDE.read_text("utf-8")

    assert patterns.filled(page, json.loads(patterns.RESULTS.read_text("utf-8"))) == page, (
        "type: python -m benchmarks.patterns --write"
    )


@pytest.mark.parametrize("name", patterns.ROWS)
def test_every_pattern_was_measured(name: str) -> None:
    assert json.loads(patterns.RESULTS.read_text("utf-8"))["patterns"][name]["p50_ms"] > 0
