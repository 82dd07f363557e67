"""How long a function takes from the start of its process to its first answer, and to the ones after it.

usage: python -m benchmarks.serverless [--starts N] [--out FILE]

The rendered functions are built as their hosts build them: Lambda's zip runs under AWS's own runtime client, against
its Runtime API on loopback;
Vercel's build runs under Vercel's own bridge. The model answers from a script, PostgreSQL with
fsync is on this machine. What a host adds (fetching the code, making the sandbox) is not in these figures. The results
go to benchmarks/results/serverless.json, and into docs/guides/serverless.md by `python -m benchmarks.readme`.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import this_machine
from tests.support.functions import NotBuilt, lambda_task, vercel_function, vercel_request
from tests.support.lambda_runtime import Function, function
from tests.support.postgres import running_postgres
from tests.support.server import run

RESULTS: Final = Path(__file__).resolve().parent / "results" / "serverless.json"
KEY: Final = "a-master-key-for-this-benchmark"
BODY: Final = {"prompt": "Hello"}

Figures = dict[str, float]


def on_lambda(folder: Path, starts: int, environment: Mapping[str, str]) -> Figures:
    task = lambda_task(folder)
    cold, warm, cpu = [], [], []
    for _ in range(starts):
        told = {**environment, "PYTHONPATH": str(task.folder)}
        with function(task.folder, python=task.python, environment=told) as running:
            _answered(running)
            cold.append(time.monotonic() - running.started)
            cpu.append(_cpu_s(running.process.pid))
            asked = time.monotonic()
            _answered(running)
            warm.append(time.monotonic() - asked)
    return _shown(cold, warm) | {"cold_cpu_s": statistics.median(cpu)}


def _answered(running: Function) -> None:
    status, answer = running.ask("/api/generate", BODY, key=KEY)
    if status != 200:
        raise RuntimeError(f"{status} {answer}")


def on_vercel(folder: Path, starts: int, environment: Mapping[str, str]) -> Figures:
    """Raises NotBuilt."""
    built = vercel_function(folder)
    request = vercel_request("POST", "/api/generate", json.dumps(BODY), key=KEY)
    cold, warm = [], []
    for _ in range(starts):
        started = time.monotonic()
        first, second = built.ask([request, request], environment, folder / "answers.json")
        if (first.status, second.status) != (200, 200):
            raise RuntimeError(f"{first} {second}")
        cold.append(first.at - started)
        warm.append(second.at - first.at)
    return _shown(cold, warm)


def _cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _shown(cold: list[float], warm: list[float]) -> Figures:
    return {
        "cold_s": statistics.median(cold),
        "cold_best_s": min(cold),
        "cold_worst_s": max(cold),
        "warm_ms": statistics.median(warm) * 1000,
    }


def measured(starts: int) -> dict[str, Any]:
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as scratch, running_postgres(is_durable=True) as postgres:
        environment = {"DATABASE_URL": postgres.new_database(), "UNDERCROFT_MASTER_KEY": KEY}
        for name, measure in (("lambda", on_lambda), ("vercel", on_vercel)):
            folder = Path(scratch) / name
            folder.mkdir()
            migrated = run(folder, "migrate", extra=environment)
            assert migrated.exit_code == 0, migrated.stderr
            try:
                found[name] = measure(folder, starts, environment)
            except NotBuilt as reason:
                sys.stderr.write(f"NOT RUN: {name}: {reason}\n")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": this_machine(),
        "starts": starts,
        "functions": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5, help="of each function (default: 5)")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"(default: {RESULTS.name} among the results)")
    options = parser.parse_args()
    result = measured(options.starts)
    options.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    for name, each in result["functions"].items():
        told = f"first answer after {each['cold_s']:.2f} s (median), others after {each['warm_ms']:.1f} ms"
        sys.stdout.write(f"{name}: {told}\n")


if __name__ == "__main__":
    main()
