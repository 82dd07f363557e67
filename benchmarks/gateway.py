"""Gateways side by side in front of one mock upstream. `python -m benchmarks.gateway --help`.

Every phase visits all contenders in turn before the next round, so that a machine whose speed drifts is unfair to
nobody; what is quoted are medians over rounds and ratios within one run.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import contenders, crowd, decisions, processes
from benchmarks.contenders import Contender
from benchmarks.gateway_goals import goals_of
from benchmarks.goals import shown, written
from benchmarks.load import Outcome, closed_loop, messages_request, open_loop, request
from benchmarks.machine import this_machine

RESULTS = Path(__file__).parent / "results" / "gateway.json"
OPEN_LOOP_RATE = 200.0
TRANSLATED = "other_dialect_64"
"""Anthropic's format in, OpenAI's out; only for those who translate."""
OURS = ("nginx", "undercroft", "undercroft_cached")
"""Whose failures make the run fail; a peer that fails a phase is shown as failing it."""
CROWDED = ("nginx", "undercroft")
"""Who is measured beside a crowd of slow clients (benchmarks/crowd.py)."""

Measurement = dict[str, float]
Phase = Callable[[Contender, float], Outcome]


def _message(contender: Contender, model: str, *, stream: bool) -> bytes:
    return request(
        contender.path, model, port=contender.port, stream=stream, key=contender.key, headers=contender.headers
    )


def _closed(model: str, connections: int, *, stream: bool = False) -> Phase:
    def run(contender: Contender, seconds: float) -> Outcome:
        message = _message(contender, model, stream=stream)
        return asyncio.run(closed_loop(contender.port, message, connections=connections, seconds=seconds))

    return run


def _translated(connections: int) -> Phase:
    def run(contender: Contender, seconds: float) -> Outcome:
        message = messages_request("plain", port=contender.port, key=contender.key)
        return asyncio.run(closed_loop(contender.port, message, connections=connections, seconds=seconds))

    return run


def _open(model: str, rate: float) -> Phase:
    def run(contender: Contender, seconds: float) -> Outcome:
        message = _message(contender, model, stream=False)
        return asyncio.run(open_loop(contender.port, message, rate=rate, seconds=seconds))

    return run


PHASES: dict[str, Phase] = {
    "one_connection": _closed("plain", 1),
    "saturated_64": _closed("plain", 64),
    "open_loop": _open("plain", OPEN_LOOP_RATE),
    "slow_64": _closed("slow", 64),
    "stream_16": _closed("stream", 16, stream=True),
    TRANSLATED: _translated(64),
}


def measure(process: "subprocess.Popen[bytes]", contender: Contender, phase: Phase, seconds: float) -> Measurement:
    """One visit: latencies, throughput, and the CPU time of the contender's own process tree per answer."""
    before = processes.cpu_ns(process.pid)
    outcome = phase(contender, seconds)
    time.sleep(0.05)
    spent_ns = processes.cpu_ns(process.pid) - before
    measurement: Measurement = {"answers": outcome.answers, "failures": outcome.failures}
    if outcome.answers:
        measurement |= {
            "answers_per_s": outcome.answers / outcome.elapsed_s,
            "cpu_us_per_answer": spent_ns / 1000 / outcome.answers,
        }
    if len(outcome.latencies_s) > 1:
        measurement |= {"p50_ms": outcome.quantile_ms(0.5), "p99_ms": outcome.quantile_ms(0.99)}
    if outcome.chunks:
        measurement["separate_reads_share"] = min(outcome.reads / outcome.chunks, 1.0)
    return measurement


def run(names: list[str], *, rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Starts everyone, measures in turn, stops everyone."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {1})  # load and upstream here, the contender on core 0
    with tempfile.TemporaryDirectory() as scratch:
        upstream_port = _free_port()
        upstream = subprocess.Popen([sys.executable, "-m", "benchmarks.upstream", str(upstream_port)])
        started: dict[str, tuple[Contender, subprocess.Popen[bytes]]] = {}
        found: dict[str, dict[str, Any]] = {}
        try:
            for name in names:
                folder = Path(scratch) / name
                folder.mkdir()
                try:
                    contender = getattr(contenders, name)(folder, port=_free_port(), upstream=upstream_port)
                    if contender is None:
                        raise RuntimeError(f"{name} is not installed")
                    process, first_answer_s = contender.start(folder)
                except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                    if name in OURS and name != "nginx":
                        raise
                    console.print(f"not run: {error}")
                    continue
                started[name] = contender, process
                time.sleep(0.5)
                found[name] = {"first_answer_s": first_answer_s, "idle_pss_mb": processes.pss_mb(process.pid)}
            _visit(started, found, rounds=rounds, seconds=seconds, console=console)
            for name, (contender, _) in started.items():
                if name in CROWDED:
                    console.print(f"{name} beside a crowd")
                    found[name]["crowd"] = asyncio.run(crowd.measure(contender, rounds=9, seconds=4.0))
            for name, (_, process) in started.items():
                found[name]["loaded_pss_mb"] = processes.pss_mb(process.pid)
        finally:
            for _, process in started.values():
                processes.stop(process)
            processes.stop(upstream)
    return found


def _visit(
    started: dict[str, tuple[Contender, "subprocess.Popen[bytes]"]],
    found: dict[str, dict[str, Any]],
    *,
    rounds: int,
    seconds: float,
    console: Console,
) -> None:
    for contender, _ in started.values():
        PHASES["saturated_64"](contender, 0.5)
    seen: dict[tuple[str, str], list[Measurement]] = {}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=rounds * len(PHASES) * len(started))
        for _ in range(rounds):
            for phase_name, phase in PHASES.items():
                for name, (contender, process) in started.items():
                    if phase_name == TRANSLATED and not contender.translates:
                        progress.advance(task)
                        continue
                    seen.setdefault((name, phase_name), []).append(measure(process, contender, phase, seconds))
                    progress.advance(task)
    for (name, phase_name), measurements in seen.items():
        keys = dict.fromkeys(key for measurement in measurements for key in measurement)
        found[name][phase_name] = {key: statistics.median(m[key] for m in measurements if key in m) for key in keys}


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """CPU per answer against nginx's of the same run; empty where nginx did not run."""
    limit = found.get("nginx")
    if limit is None:
        return {}
    return {
        name: {
            f"{phase}_cpu_x_nginx": figures[phase]["cpu_us_per_answer"] / _limit(limit, phase)["cpu_us_per_answer"]
            for phase in PHASES
            if "cpu_us_per_answer" in figures.get(phase, {})
        }
        | {"added_p50_ms": figures["one_connection"]["p50_ms"] - limit["one_connection"]["p50_ms"]}
        for name, figures in found.items()
    }


def _limit(limit: dict[str, Any], phase: str) -> dict[str, float]:
    """What nginx is measured by: it passes a translated call on as it does any other."""
    return limit["saturated_64" if phase == TRANSLATED else phase]  # type: ignore[no-any-return]  # from JSON-like data


def table(result: dict[str, Any]) -> Table:
    """The figures people ask for first."""
    shown = Table(title="Gateways side by side (medians; ratios within this run)")
    for column in (
        "gateway",
        "µs CPU/call",
        "x nginx",
        "µs CPU/stream",
        "x nginx",
        "p50 ms",
        "p99 ms (64)",
        "PSS MB",
        "start s",
    ):
        shown.add_column(column, justify="left" if column == "gateway" else "right")
    for name, figures in result["contenders"].items():
        ratio = result["ratios"].get(name, {})
        shown.add_row(
            name,
            f"{figures['saturated_64'].get('cpu_us_per_answer', float('nan')):.0f}",
            f"{ratio.get('saturated_64_cpu_x_nginx', float('nan')):.1f}",
            f"{figures['stream_16'].get('cpu_us_per_answer', float('nan')):.0f}",
            f"{ratio.get('stream_16_cpu_x_nginx', float('nan')):.1f}",
            f"{figures['one_connection'].get('p50_ms', float('nan')):.2f}",
            f"{figures['saturated_64'].get('p99_ms', float('nan')):.1f}",
            f"{figures['loaded_pss_mb']:.0f}",
            f"{figures['first_answer_s']:.2f}",
        )
    return shown


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--contenders",
        default="nginx,undercroft,undercroft_cached,naive,litellm,portkey",
        help="peers are installed into folders of their own, the first time",
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each visit")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    console = Console()
    found = run(options.contenders.split(","), rounds=options.rounds, seconds=options.seconds, console=console)
    decided = decisions.measured()
    goals = goals_of(found, decisions=decided)
    result = {
        "machine": this_machine(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "contenders": found,
        "ratios": ratios(found),
        "decisions": decided,
        "goals": written(goals),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    console.print(table(result))
    console.print(shown(goals))
    console.print(f"written: {options.out}")
    ours = [figures for name, figures in found.items() if name in OURS]
    failures = sum(figures[phase]["failures"] for figures in ours for phase in PHASES if phase in figures)
    failures += sum(figures["crowd"]["failures"] for figures in ours if "crowd" in figures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
