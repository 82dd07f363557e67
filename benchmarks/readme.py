"""Writes the README's performance table from benchmarks/results/gateway.json. `python -m benchmarks.readme`."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
RESULTS: Final = ROOT / "benchmarks" / "results" / "gateway.json"
REGION: Final = re.compile(r"(?<=<!-- bench:gateway -->\n).*?(?=<!-- /bench -->)", re.DOTALL)

Figures = Mapping[str, Any]
COLUMNS: Final[Mapping[str, Callable[[Figures, Figures], str]]] = {
    "CPU per call": lambda found, ratio: _cpu(found, ratio, "saturated_64"),
    "CPU per stream of 100 chunks": lambda found, ratio: _cpu(found, ratio, "stream_16"),
    "median, 1 connection": lambda found, _: f"{found['one_connection']['p50_ms']:.2f} ms",
    "p99, 64 connections": lambda found, _: f"{found['saturated_64']['p99_ms']:.1f} ms",
    "memory": lambda found, _: f"{found['loaded_pss_mb']:.0f} MB",
    "first answer after": lambda found, _: f"{found['first_answer_s']:.1f} s",
}


def filled(readme: str, result: Figures) -> str:
    """The README with its table made anew."""
    return REGION.sub(lambda _: f"\n{section(result)}\n\n", readme)


def section(result: Figures) -> str:
    """The table, cheapest first, below the machine that it was measured on."""
    machine = result["machine"]
    contenders = sorted(result["contenders"].items(), key=lambda item: item[1]["saturated_64"]["cpu_us_per_answer"])
    rows = [
        [name, *(show(figures, result["ratios"].get(name, {})) for show in COLUMNS.values())]
        for name, figures in contenders
    ]
    about = (
        f"In front of the same mock upstream, on {machine['cores']} cores ({machine['system']}, "
        f"Python {machine['python']}): medians of {result['rounds']} interleaved rounds, CPU time of the whole process "
        "tree, in brackets the ratio to nginx in the same run. `benchmarks/results/gateway.json` has all figures."
    )
    heads = ["", *COLUMNS]
    lines = [heads, ["---", *("---:" for _ in COLUMNS)], *rows]
    return about + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cpu(found: Figures, ratio: Figures, phase: str) -> str:
    if "cpu_us_per_answer" not in found[phase]:
        return "fails"
    against_nginx = ratio.get(f"{phase}_cpu_x_nginx")
    return f"{found[phase]['cpu_us_per_answer']:.0f} µs" + (f" ({against_nginx:.1f}x)" if against_nginx else "")


def main() -> None:
    if not RESULTS.exists():
        sys.exit(f"there is no {RESULTS.relative_to(ROOT)} yet: run the benchmark first")
    README.write_text(filled(README.read_text("utf-8"), json.loads(RESULTS.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
