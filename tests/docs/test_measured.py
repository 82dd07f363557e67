"""The tables of figures are what was measured, wherever a page shows one."""

import re
from types import ModuleType

import pytest

MACHINE = {"cores": 2, "system": "Linux", "python": "3.11.7"}


def gateway(cpu_us: float) -> dict[str, object]:
    return {
        "first_answer_s": 0.61,
        "loaded_pss_mb": 61.2,
        "one_connection": {"p50_ms": 0.401, "cpu_us_per_answer": cpu_us},
        "saturated_64": {"p99_ms": 12.34, "cpu_us_per_answer": cpu_us},
        "stream_16": {"cpu_us_per_answer": 20 * cpu_us},
    }


def jobs(rate: float, *, drained: float | None) -> dict[str, object]:
    return {
        "accepted_per_s": rate,
        "done_per_s": rate / 2,
        "drained_per_s": drained,
        "one_by_one_per_s": rate / 4,
        "one_caller_per_s": rate / 2,
        "pickup_p50_ms": 0.456,
        "pickup_p99_ms": 4.56,
    }


def page(name: str) -> str:
    return f"a\n<!-- bench:{name} -->\nold\n<!-- /bench -->\nb\n"


def rows(text: str) -> list[str]:
    return re.findall(r"^\| [a-z].*", text, re.MULTILINE)


def test_the_gateways_table_says_what_was_measured(bench_readme: ModuleType) -> None:
    result = {
        "machine": MACHINE,
        "rounds": 3,
        "contenders": {"undercroft": gateway(150), "nginx": gateway(50)},
        "ratios": {"undercroft": {"saturated_64_cpu_x_nginx": 3.0, "stream_16_cpu_x_nginx": 2.04}},
    }

    filled = bench_readme.filled(page("gateway"), {"gateway": result})

    assert "old" not in filled
    assert rows(filled) == [
        "| nginx | 50 µs | 1000 µs | 0.40 ms | 12.3 ms | 61 MB | 0.6 s |",
        "| undercroft | 150 µs (3.0x) | 3000 µs (2.0x) | 0.40 ms | 12.3 ms | 61 MB | 0.6 s |",
    ]
    assert bench_readme.filled(filled, {"gateway": result}) == filled


def test_the_jobs_table_says_what_was_measured(bench_readme: ModuleType) -> None:
    result = {
        "machine": MACHINE,
        "rounds": 3,
        "jobs": 1000,
        "contenders": {"plain Celery": jobs(1000, drained=800), "embedded": jobs(8000, drained=None)},
        "ratios": {"embedded": {"accepted_per_s": 8.0, "done_per_s": 8.0, "one_by_one_per_s": 8.0}},
    }

    filled = bench_readme.filled(page("jobs"), {"jobs": result})

    assert "medians of 3 interleaved rounds of 1000 jobs" in filled
    assert rows(filled) == [
        "| embedded | 8000 (8.00x) | 4000 (8.00x) | 4000 | - | 2000 (8.00x) | 0.46 ms | 4.6 ms |",
        "| plain Celery | 1000 | 500 | 500 | 800 | 250 | 0.46 ms | 4.6 ms |",
    ]


def test_the_table_of_faults_says_what_was_lost(bench_readme: ModuleType) -> None:
    naive = {"who": "naive Celery task", "fault": "broker wiped", "accepted": 9, "refused": 1}
    naive |= {"missing": 4, "again": 2, "twice": 0}
    filled = bench_readme.filled(
        page("job_faults"), {"job_faults": {"machine": MACHINE, "jobs": 10, "outcomes": [naive]}}
    )
    assert rows(filled) == ["| naive Celery task | broker wiped | 9 | 1 | 4 | 2 | 0 |"]


def test_the_table_of_a_verified_plan_says_how_far_it_was_off(bench_readme: ModuleType) -> None:
    line = {"workload": "gateway", "load": "30%", "what": "p95", "unit": "ms", "low": 152.05, "measured": 158.02}
    seen = {**line, "runs": [1.0, 2.0, 3.0], "error": -0.038}
    filled = bench_readme.filled(page("plan_verify"), {"plan_verify": {"lines": [{**seen, "high": 152.05}]}})
    assert "3 runs of each load" in filled
    assert rows(filled)[1:] == ["| gateway | 30% | p95 | 152.1 ms | 158 ms | -4% |"]

    bracket = {"lines": [{**seen, "high": 155.1}]}
    filled = bench_readme.filled(page("plan_verify_workers"), {"plan_verify_workers": bracket})
    assert rows(filled)[1:] == ["| gateway | 30% | p95 | 152.1 to 155.1 ms | 158 ms | -4% |"]


def test_the_table_of_telemetry_says_what_it_costs(bench_readme: ModuleType) -> None:
    result = {"machine": MACHINE, "rounds": 7, "counting_us": 4.16, "cpu_us_per_call": {"off": 500.0, "logs": 510.0}}
    filled = bench_readme.filled(page("telemetry"), {"telemetry": result})
    assert rows(filled) == ["| off | 500 µs |  |", "| logs | 510 µs | +2% |"]


def test_the_table_of_vectors_says_which_recall_was_reached(bench_readme: ModuleType) -> None:
    filters = {name: {"qps": 1000.4, "recall": 0.995} for name in ("none", "m2", "m10", "m100", "m1000")}
    found = {"filters": filters | {"m2": {"qps": 20.0, "recall": 0.9}}, "size": {"memory_mb": 300.2}}
    result = {"set": {"points": 100_000, "dimension": 384}, "results": {"chromadb": found}}
    filled = bench_readme.filled(page("vectors"), {"vectors": result})
    assert "100,000 vectors of 384 numbers" in filled
    assert rows(filled) == ["| chromadb | 1000 | 20 (0.90) | 1000 | 1000 | 1000 | 300 MB |"]


def test_the_table_of_functions_says_how_long_their_first_answer_took(bench_readme: ModuleType) -> None:
    figures = {"cold_s": 0.612, "cold_best_s": 0.6, "cold_worst_s": 0.75, "warm_ms": 4.04}
    result = {"machine": MACHINE, "date": "2026-01-02", "starts": 5, "functions": {"lambda": figures}}

    filled = bench_readme.filled(page("serverless"), {"serverless": result})

    assert "medians of 5 starts" in filled
    assert "| Lambda | 0.61 s | 0.60 to 0.75 s | 4.0 ms |" in filled


def test_the_table_of_switches_says_what_clients_noticed(bench_readme: ModuleType) -> None:
    p99_ms = {"before": 9.0, "starting": 20.0, "during": 12.34, "after": 9.1}
    result = {
        "machine": MACHINE,
        "date": "2026-01-02",
        "rounds": 3,
        "clients": {"kept": 16, "fresh": 4, "streams": 4, "pause_ms": 50.0},
        "good": {"requests": 60000, "streams": 120, "failed": 0, "p99_ms": p99_ms},
        "bad": {"requests": 20000, "failed": 30, "failed_share": 0.0015, "taken_back_s": 2.04},
    }

    filled = bench_readme.filled(page("swap"), {"swap": result})

    assert rows(filled) == [
        "| a good version | 60000 | 120 | 0 | 9.0 ms | 20.0 ms | 12.3 ms | 9.1 ms |",
        "| one that fails every call | 20000 |  | 30 (0.15%) |  |  |  |  |",
    ]
    assert "taken back after 2.0 s" in filled


NAMES = ["gateway", "jobs", "job_faults", "plan_verify", "telemetry", "vectors", "serverless", "swap"]


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_was_measured_nothing_is_shown(bench_readme: ModuleType, name: str) -> None:
    assert bench_readme.filled(page(name), {name: None}) == page(name).replace("old\n", "")


def test_every_page_shows_the_results_there_are(bench_readme: ModuleType) -> None:
    results = bench_readme.measured()
    shown = []
    for path in bench_readme.PAGES:
        text = path.read_text("utf-8")
        shown += [name for name, _, _ in bench_readme.REGION.findall(text)]
        assert bench_readme.filled(text, results) == text, "type: python -m benchmarks.readme"
    assert sorted(shown) == sorted(bench_readme.SECTIONS), "each has its place"
