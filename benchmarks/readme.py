"""Writes the tables of what was measured, from benchmarks/results, into the pages that show them.

`python -m benchmarks.readme`.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import described

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
REGION: Final = re.compile(r"(?<=<!-- bench:)(\w+)( -->\n)(.*?)(?=<!-- /bench -->)", re.DOTALL)

Figures = Mapping[str, Any]
COLUMNS: Final[Mapping[str, Callable[[Figures, Figures], str]]] = {
    "CPU per call": lambda found, ratio: _cpu(found, ratio, "saturated_64"),
    "CPU per stream of 100 chunks": lambda found, ratio: _cpu(found, ratio, "stream_16"),
    "median, 1 connection": lambda found, _: f"{found['one_connection']['p50_ms']:.2f} ms",
    "p99, 64 connections": lambda found, _: f"{found['saturated_64']['p99_ms']:.1f} ms",
    "memory": lambda found, _: f"{found['loaded_pss_mb']:.0f} MB",
    "first answer after": lambda found, _: f"{found['first_answer_s']:.1f} s",
}
JOB_COLUMNS: Final[Mapping[str, Callable[[Figures, Figures], str]]] = {
    "accepted/s": lambda found, ratio: _rate(found, ratio, "accepted_per_s"),
    "done/s": lambda found, ratio: _rate(found, ratio, "done_per_s"),
    "one caller/s": lambda found, ratio: _rate(found, ratio, "one_caller_per_s"),
    "backlog/s": lambda found, ratio: _rate(found, ratio, "drained_per_s"),
    "one by one/s": lambda found, ratio: _rate(found, ratio, "one_by_one_per_s"),
    "picked up, median": lambda found, _: f"{found['pickup_p50_ms']:.2f} ms",
    "picked up, p99": lambda found, _: f"{found['pickup_p99_ms']:.1f} ms",
}


def filled(page: str, results: Mapping[str, Figures | None]) -> str:
    """The page with its tables made anew, by their names; nothing is shown where nothing was measured."""

    def section(region: re.Match[str]) -> str:
        name, rest, _ = region.groups()
        result = results[name]
        return f"{name}{rest}" if result is None else f"{name}{rest}\n{SECTIONS[name](result)}\n\n"

    return REGION.sub(section, page)


def gateway(result: Figures) -> str:
    """The table, cheapest first, below the machine that it was measured on."""
    contenders = sorted(result["contenders"].items(), key=lambda item: item[1]["saturated_64"]["cpu_us_per_answer"])
    about = (
        f"In front of the same mock upstream, {_machine(result)}: medians of {result['rounds']} interleaved rounds, "
        "CPU time of the whole process tree, in brackets the ratio to nginx in the same run. "
        "`benchmarks/results/gateway.json` has all figures."
    )
    return f"{about}\n\n{_table(COLUMNS, contenders, result['ratios'])}"


def jobs(result: Figures) -> str:
    """The fastest first, below the machine that it was measured on."""
    contenders = sorted(result["contenders"].items(), key=lambda item: -item[1]["done_per_s"])
    about = (
        f"A job that does nothing, two worker processes (embedded: one process in all), {_machine(result)}: medians of "
        f"{result['rounds']} interleaved rounds of {result['jobs']} jobs, in brackets the ratio to plain Celery in the "
        "same run. `benchmarks/results/jobs.json` has all figures."
    )
    return f"{about}\n\n{_table(JOB_COLUMNS, contenders, result['ratios'])}"


def job_faults(result: Figures) -> str:
    """What each came to, fault by fault."""
    about = f"{result['jobs']} jobs through each fault, {_machine(result)}. Missing: accepted, and lost or stuck."
    heads = ["", "fault", "accepted", "refused", "missing", "begun again", "ended twice"]
    rows = [[str(each[name]) for name in _OUTCOME] for each in result["outcomes"]]
    lines = [heads, ["---", "---", *("---:" for _ in heads[2:])], *rows]
    return about + "\n\n" + _rows(lines)


def plan_verify(result: Figures) -> str:
    """Every figure that was predicted, beside what was measured."""
    return _verified(result, name="plan_verify", about="one for the server and one for the load")


def plan_verify_workers(result: Figures) -> str:
    """The same with several workers."""
    return _verified(
        result, name="plan_verify_workers", about="one that two workers share and one for the load, 20 s of each load"
    )


def plan_verify_recorded(result: Figures) -> str:
    """The same with arrivals that were recorded."""
    return _verified(
        result,
        name="plan_verify_recorded",
        about="one for the server and one for the load, with arrivals in bursts as a ledger had recorded them, 16 s of "
        "each load",
    )


def _verified(result: Figures, *, name: str, about: str) -> str:
    lines = result["lines"]
    told = (
        f"{len(lines[0]['runs'])} runs of each load on two cores, {about}. Predicted and measured are the medians; the "
        f"error is that of the run in the middle, against its own prediction. `benchmarks/results/{name}.json` has "
        "every run."
    )
    rows = [
        [
            each["workload"],
            each["load"],
            each["what"],
            _predicted(each),
            f"{each['measured']:.4g} {each['unit']}",
            f"{each['error']:+.0%}",
        ]
        for each in lines
    ]
    heads = ["workload", "load", "", "predicted", "measured", "error"]
    return f"{told}\n\n{_rows([heads, [*['---'] * 3, *['---:'] * 3], *rows])}"


def _predicted(line: Figures) -> str:
    """A number, or the bracket's two ends."""
    low, high = f"{line['low']:.4g}", f"{line['high']:.4g}"
    return f"{low} {line['unit']}" if low == high else f"{low} to {high} {line['unit']}"


def telemetry(result: Figures) -> str:
    """What each kind costs a call."""
    about = (
        f"CPU time of the gateway's process a call, {_machine(result)}: medians of {result['rounds']} rounds in turns. "
        f"Counting, which is in all of them, takes {result['counting_us']:.1f} µs. "
        "`benchmarks/results/telemetry.json` has all figures."
    )
    off = result["cpu_us_per_call"]["off"]
    rows = [
        [name, f"{cpu_us:.0f} µs", "" if name == "off" else f"{cpu_us / off - 1:+.0%}"]
        for name, cpu_us in result["cpu_us_per_call"].items()
    ]
    return f"{about}\n\n{_rows([['', 'CPU per call', 'more than off'], ['---', '---:', '---:'], *rows])}"


def vectors(result: Figures) -> str:
    """How fast each answers at the same recall, and what it takes."""
    about = (
        f"{result['set']['points']:,} vectors of {result['set']['dimension']} numbers: searches a second by one "
        "caller at a recall@10 of at least 0.99 (what was reached stands in brackets where that is less), by how many "
        "points the filter lets through. `benchmarks/results/vectors.json` has all figures."
    )
    heads = ["", "all", "50 %", "10 %", "1 %", "0.1 %", "memory"]
    rows = []
    for name, found in result["results"].items():
        filters = [found["filters"][each] for each in ("none", "m2", "m10", "m100", "m1000")]
        cells = [f"{one['qps']:.0f}" + ("" if one["recall"] >= 0.99 else f" ({one['recall']:.2f})") for one in filters]
        rows.append([name, *cells, f"{found['size']['memory_mb']:.0f} MB"])
    return f"{about}\n\n{_rows([heads, ['---', *['---:'] * 6], *rows])}"


def serverless(result: Figures) -> str:
    """From the start of a function's process on."""
    about = (
        f"With a model that answers from a script, {_machine(result)}, on {result['date']}: from the start of the "
        f"process to the first answer, medians of {result['starts']} starts. What a host does before it starts the "
        "process comes on top."
    )
    lines = [["", "first answer after", "best and worst", "each one after it"], ["---", "---:", "---:", "---:"]]
    for name, each in result["functions"].items():
        range_s = f"{each['cold_best_s']:.2f} to {each['cold_worst_s']:.2f} s"
        lines.append([_FUNCTIONS[name], f"{each['cold_s']:.2f} s", range_s, f"{each['warm_ms']:.1f} ms"])
    return f"{about}\n\n{_rows(lines)}"


def swap(result: Figures) -> str:
    """What clients notice of a version that takes over, and of one that is taken back."""
    clients, good, bad = result["clients"], result["good"], result["bad"]
    about = (
        f"{clients['kept']} clients that keep their connection, {clients['fresh']} that connect for each call and "
        f"{clients['streams']} that listen to streams of three seconds, {_machine(result)}, on {result['date']}: "
        f"{result['rounds']} switches of each kind. `benchmarks/results/swap.json` has all figures."
    )
    heads = ["requests", "streams", "failed", "p99 before", "while it starts", "during the switch", "after"]
    times = [f"{good['p99_ms'][name]:.1f} ms" for name in ("before", "starting", "during", "after")]
    failed = f"{bad['failed']} ({bad['failed_share']:.2%})"
    lines = [
        ["", *heads],
        ["---", *("---:" for _ in heads)],
        ["a good version", str(good["requests"]), str(good["streams"]), str(good["failed"]), *times],
        ["one that fails every call", str(bad["requests"]), "", failed, *("" for _ in times)],
    ]
    return f"{about}\n\n{_rows(lines)}\n\nThe bad one was taken back after {bad['taken_back_s']:.1f} s (median)."


_FUNCTIONS: Final = {"lambda": "Lambda", "vercel": "Vercel"}
_OUTCOME: Final = ("who", "fault", "accepted", "refused", "missing", "again", "twice")
SECTIONS: Final[Mapping[str, Callable[[Figures], str]]] = {
    "gateway": gateway,
    "jobs": jobs,
    "job_faults": job_faults,
    "plan_verify": plan_verify,
    "plan_verify_workers": plan_verify_workers,
    "plan_verify_recorded": plan_verify_recorded,
    "telemetry": telemetry,
    "vectors": vectors,
    "serverless": serverless,
    "swap": swap,
}
"""By the name of the results, which is the region's."""
_GUIDES: Final = (
    "capacity-planning",
    "jobs-and-events",
    "monitoring",
    "serverless",
    "upgrades",
    "vector-databases",
)
PAGES: Final = (ROOT / "README.md", *(ROOT / "docs" / "guides" / f"{name}.md" for name in _GUIDES))


def measured() -> dict[str, Figures | None]:
    """What there is."""
    files = {name: RESULTS / f"{name}.json" for name in SECTIONS}
    return {name: json.loads(file.read_text("utf-8")) if file.exists() else None for name, file in files.items()}


def _table(
    columns: Mapping[str, Callable[[Figures, Figures], str]],
    contenders: list[tuple[str, Figures]],
    ratios: Mapping[str, Figures],
) -> str:
    rows = [[name, *(show(figures, ratios.get(name, {})) for show in columns.values())] for name, figures in contenders]
    return _rows([["", *columns], ["---", *("---:" for _ in columns)], *rows])


def _rows(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machine(result: Figures) -> str:
    return described(result["machine"])


def _cpu(found: Figures, ratio: Figures, phase: str) -> str:
    if "cpu_us_per_answer" not in found[phase]:
        return "fails"
    against_nginx = ratio.get(f"{phase}_cpu_x_nginx")
    return f"{found[phase]['cpu_us_per_answer']:.0f} µs" + (f" ({against_nginx:.1f}x)" if against_nginx else "")


def _rate(found: Figures, ratio: Figures, field: str) -> str:
    if found[field] is None:
        return "-"
    against_celery = ratio.get(field)
    return f"{found[field]:.0f}" + (f" ({against_celery:.2f}x)" if against_celery else "")


def main() -> None:
    results = measured()
    if not any(results.values()):
        sys.exit(f"there is nothing in {RESULTS.relative_to(ROOT)} yet: run the benchmark first")
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8"), results), "utf-8")


if __name__ == "__main__":
    main()
