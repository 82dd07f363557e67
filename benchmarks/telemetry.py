"""What logs, metrics and traces cost: CPU of the gateway's process a call, off and on, side by side in one run.

`python -m benchmarks.telemetry [--rounds N] [--seconds S]` writes `benchmarks/results/telemetry.json`. Each variant is
a server of its own in front of the same upstream, visited in turn. Metrics cannot be switched off: what counting a call
takes is timed by itself and shown as a share of the same CPU time. Every call is traced where traces are on.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import processes
from benchmarks.load import closed_loop, request
from benchmarks.machine import this_machine
from undercroft.clock import SystemClock
from undercroft.record import CallRecord, Usage, Who
from undercroft.telemetry.metrics import Metrics

RESULTS: Final = Path(__file__).parent / "results" / "telemetry.json"
CONNECTIONS: Final = 32
START_S: Final = 60.0
VARIANTS: Final = {
    "off": 'log_level = "error"\ntraces = false\n',
    "logs": "traces = false\n",
    "logs and kept traces": "",
    "logs and exported traces": 'otlp_endpoint = "http://127.0.0.1:{collector}"\n',
}


class Goal(NamedTuple):
    """What something may cost, as a share of a call's CPU time without any of it."""

    name: str
    share: float
    below: float

    @property
    def is_met(self) -> bool:
        return self.share < self.below


class Sink(BaseHTTPRequestHandler):
    """A collector that takes everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(folder: Path, telemetry: str, *, upstream: int) -> tuple["subprocess.Popen[bytes]", int]:
    """A server that answers, and its port."""
    folder.mkdir()
    (folder / "undercroft.toml").write_text(
        f'[[models]]\nname = "plain"\ndeployments = [{{ provider = "openai_compatible", base_url = '
        f'"http://127.0.0.1:{upstream}/v1", api_key = "env:BENCH_KEY" }}]\n[telemetry]\n{telemetry}'
    )
    port = free_port()
    command = [sys.executable, "-m", "undercroft", "serve", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={"BENCH_KEY": "sk-upstream-key", "PATH": "/usr/bin:/bin"}
        )
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return process, port
        except (urllib.error.URLError, ConnectionError) as error:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((folder / "log").read_text()) from error
            time.sleep(0.1)


def visit(process: "subprocess.Popen[bytes]", port: int, seconds: float) -> float:
    """CPU microseconds a call."""
    message = request("/v1/chat/completions", "plain", port=port, stream=False, key="any")
    before = processes.cpu_ns(process.pid)
    outcome = asyncio.run(closed_loop(port, message, connections=CONNECTIONS, seconds=seconds))
    time.sleep(1.2)  # what is sent and written afterwards belongs to these calls
    if outcome.failures or not outcome.answers:
        raise RuntimeError(f"{outcome.failures} calls failed, {outcome.answers} were answered")
    return (processes.cpu_ns(process.pid) - before) / 1000 / outcome.answers


def counting_us() -> float:
    """What counting one call takes: the median of many batches."""
    metrics = Metrics(clock=SystemClock())
    record = CallRecord(
        id="req_1",
        started_us=0,
        duration_us=120_000,
        who=Who(),
        endpoint="/v1/chat/completions",
        model="plain",
        provider="openai_compatible",
        deployment="plain/0",
        attempts=1,
        first_token_us=50_000,
        usage=Usage(input=120, output=90),
        cost_nano=1_500_000,
        trace="4bf92f3577b34da6a3ce929d0e0e4736",
    )
    taken = []
    for _ in range(50):
        began = time.thread_time_ns()
        for _ in range(1000):
            metrics.observe(record)
        taken.append((time.thread_time_ns() - began) / 1e6)
    return statistics.median(taken)


def run(*, rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Everyone is started, visited in turn, and stopped."""
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    started: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
    upstream_port = free_port()
    upstream = subprocess.Popen([sys.executable, "-m", "benchmarks.upstream", str(upstream_port)])
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for number, (name, telemetry) in enumerate(VARIANTS.items()):
                text = telemetry.replace("{collector}", str(collector.server_port))
                started[name] = start(Path(scratch) / str(number), text, upstream=upstream_port)
                visit(*started[name], 0.5)
            for turn in range(rounds):
                for name, server in started.items():
                    found[name].append(visit(*server, seconds))
                console.print(f"round {turn + 1} of {rounds}")
        finally:
            for process, _ in started.values():
                processes.stop(process)
            processes.stop(upstream)
            collector.shutdown()
    spent = {name: statistics.median(values) for name, values in found.items()}
    counting = counting_us()
    # Each round by itself: what else the machine does changes from round to round, and hits all variants alike.
    shares = {
        name: statistics.median(value / off - 1 for value, off in zip(values, found["off"], strict=True))
        for name, values in found.items()
    }
    goals = [
        Goal("metrics and logs", counting / spent["off"] + shares["logs"], 0.10),
        Goal("traces that are kept", shares["logs and kept traces"] - shares["logs"], 0.25),
        Goal("traces that are exported", shares["logs and exported traces"] - shares["logs"], 0.25),
    ]
    return {
        "machine": this_machine(),
        "cpu_us_per_call": spent,
        "counting_us": counting,
        "counting_share": counting / spent["off"],
        "share_above_off": shares,
        "goals": [{**each._asdict(), "is_met": each.is_met} for each in goals],
        "rounds": rounds,
        "seconds": seconds,
    }


def table(result: dict[str, Any]) -> Table:
    shown = Table(box=None, pad_edge=False)
    for title in ("telemetry", "CPU µs a call", "above off"):
        shown.add_column(title)
    for name, spent in result["cpu_us_per_call"].items():
        shown.add_row(name, f"{spent:.0f}", f"{result['share_above_off'][name]:+.1%}")
    shown.add_row("counting (in all of them)", f"{result['counting_us']:.2f}", f"{result['counting_share']:.1%}")
    return shown


def goals_table(result: dict[str, Any]) -> Table:
    """What each costs of the CPU time that a call takes without any, and what it may."""
    shown = Table(box=None, pad_edge=False)
    for title in ("what", "share of a call", "goal", ""):
        shown.add_column(title)
    for goal in result["goals"]:
        met = "met" if goal["is_met"] else "missed"
        shown.add_row(goal["name"], f"{goal['share']:.1%}", f"below {goal['below']:.0%}", met)
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    console = Console()
    result = run(rounds=options.rounds, seconds=options.seconds, console=console)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    console.print(table(result))
    console.print(goals_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
