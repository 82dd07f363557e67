"""The architecture patterns of the guide, measured side by side: what each costs and how soon it answers.

usage: python -m benchmarks.patterns [--calls N] [--rounds N]

A model from a script answers at once, so that what is measured is the pattern. Every server is a process of its own on
this machine, PostgreSQL with fsync beside it. CPU time is that of our processes, whatever else the machine does, and
travels; times of the clock are of one machine on one day. `python -m benchmarks.patterns --write` puts the table of the
stored results into docs/guides/architecture-patterns.md.
"""

import argparse
import http.client
import http.server
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import processes

ROOT: Final = Path(__file__).resolve().parent.parent
GUIDE: Final = ROOT / "docs" / "guides" / "architecture-patterns.md"
RESULTS: Final = ROOT / "benchmarks" / "results" / "patterns.json"
REGION: Final = re.compile(r"(?<=<!-- bench:patterns -->\n).*?(?=<!-- /bench -->)", re.DOTALL)
MASTER_KEY: Final = "a-master-key-for-this-benchmark"
TOML: Final = """
[[models]]
name = "chat"
[[models.deployments]]
provider = "scripted"
script = "One two three four five."
[egress]
allow = ["127.0.0.0/8"]
"""
LIMIT_S: Final = 300.0
ROWS: Final[Mapping[str, str]] = {
    "monolith": "one process, SQLite",
    "services": "gateway, console and worker, PostgreSQL",
    "queue": "the same services, by a job",
    "events": "the same, told by a webhook",
    "serverless": "a function, warm, PostgreSQL before each answer's end",
}
COLD: Final = """
import json, sys, time
from pathlib import Path
from undercroft.api.serverless import lambda_handler
handler = lambda_handler(Path("."), timeout_s=60)
event = json.loads(sys.argv[1])
took = []
for number in range(int(sys.argv[2]) + 1):
    started = time.perf_counter()
    assert handler(event, None)["statusCode"] == 200
    took.append(time.perf_counter() - started)
    if number == 0:
        first = time.process_time()
print(json.dumps({"first": first, "took": took[1:], "cpu": time.process_time() - first}), file=sys.stderr, flush=True)
sys.stdin.read()
"""

Figures = dict[str, float]
Processes = Sequence["subprocess.Popen[bytes]"]


class Caller:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)

    def ask(self, path: str, body: object = None, *, method: str = "POST") -> Any:
        headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {text.decode()}")
        return json.loads(text)


@contextmanager
def running(folder: Path, *arguments: str, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """An undercroft of its own in that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "undercroft.toml").write_text(TOML)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNDERCROFT_")}
    given = {**kept, "UNDERCROFT_MASTER_KEY": MASTER_KEY, **environment}
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "undercroft", *arguments]
        process = subprocess.Popen(command, cwd=folder, env=given, stdout=log, stderr=log)
    try:
        yield process
    finally:
        processes.stop(process)


def until_ready(port: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            Caller(port).ask("/health/ready", method="GET")
        except (OSError, RuntimeError, http.client.HTTPException):
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nothing is ready on port {port}")


def timed(call: Callable[[], object], calls: int) -> list[float]:
    """Seconds of each, one after the other."""
    took = []
    for _ in range(calls):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return took


def cpu_s(ours: Processes) -> float:
    """CPU time so far of all of them and their children."""
    return sum(processes.cpu_ns(process.pid) for process in ours) / 1e9


def shown(took: list[float], *, spent_s: float, **more: float) -> Figures:
    return {"p50_ms": statistics.median(took) * 1000, "cpu_ms": spent_s / len(took) * 1000, **more}


def answers(ours: Processes, port: int, calls: int, **more: float) -> Figures:
    caller = Caller(port)
    timed(lambda: caller.ask("/api/generate", {"prompt": "Hello"}), calls // 10 + 1)
    before = cpu_s(ours)
    took = timed(lambda: caller.ask("/api/generate", {"prompt": "Hello"}), calls)
    return shown(took, spent_s=cpu_s(ours) - before, **more)


def monolith(folder: Path, calls: int) -> Figures:
    port = _free_port()
    with running(folder, "serve", "--port", str(port), environment={}) as server:
        until_ready(port)
        found = answers([server], port, calls, ready_cpu_s=cpu_s([server]))
        return {**found, "memory_mb": processes.pss_mb(server.pid)}


def services(folder: Path, calls: int, url: str) -> dict[str, Figures]:
    """The three roles, and what is asked of them: an answer, a job, a job that is told of."""
    environment = {"DATABASE_URL": url, "ENCRYPTION_KEY": "x" * 43 + "="}
    ports = [_free_port(), _free_port()]
    with ExitStack() as stack:
        ours = [
            stack.enter_context(running(folder / name, *words, environment=environment))
            for name, words in (
                ("gateway", ("serve", "--port", str(ports[0]), "--role", "gateway")),
                ("console", ("serve", "--port", str(ports[1]), "--role", "console")),
                ("worker", ("worker",)),
            )
        ]
        for port in ports:
            until_ready(port)
        found = {"services": answers(ours, ports[0], calls, ready_cpu_s=cpu_s(ours))}
        found["services"]["memory_mb"] = sum(processes.pss_mb(process.pid) for process in ours)
        found["queue"] = queued(ours, ports[0], calls)
        found["events"] = told(ours, ports, calls)
        return found


def queued(ours: Processes, port: int, calls: int) -> Figures:
    """From handing a job in to its result; and how long handing it in takes."""
    caller = Caller(port)
    accepted: list[float] = []

    def job() -> None:
        started = time.perf_counter()
        made = caller.ask("/api/v1/jobs", {"kind": "generate", "input": {"prompt": "Hello"}})
        accepted.append(time.perf_counter() - started)
        while caller.ask(f"/api/v1/jobs/{made['id']}", method="GET")["status"] != "succeeded":
            time.sleep(0.005)

    timed(job, calls // 10 + 1)
    accepted.clear()
    before = cpu_s(ours)
    took = timed(job, calls)
    return shown(took, spent_s=cpu_s(ours) - before, accepted_p50_ms=statistics.median(accepted) * 1000)


def told(ours: Processes, ports: list[int], calls: int) -> Figures:
    """From handing a job in to the webhook that says that it is done."""
    arrived = threading.Event()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *arguments: object) -> None:
            pass

    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    Caller(ports[1]).ask("/api/v1/webhooks", {"url": url, "types": ["job.succeeded"]})
    time.sleep(3)  # by then every process knows of it
    caller = Caller(ports[0])

    def job() -> None:
        arrived.clear()
        caller.ask("/api/v1/jobs", {"kind": "generate", "input": {"prompt": "Hello"}})
        if not arrived.wait(LIMIT_S):
            raise RuntimeError("no webhook has come")

    timed(job, 3)
    before = cpu_s(ours)
    took = timed(job, calls)
    receiver.shutdown()
    return shown(took, spent_s=cpu_s(ours) - before)


def serverless(folder: Path, calls: int, url: str) -> Figures:
    folder.mkdir(parents=True)
    (folder / "undercroft.toml").write_text(TOML)
    event = {
        "version": "2.0",
        "rawPath": "/api/generate",
        "rawQueryString": "",
        "headers": {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/api/generate", "sourceIp": "192.0.2.7"}},
        "body": '{"prompt": "Hello"}',
        "isBase64Encoded": False,
    }
    environment = {**os.environ, "DATABASE_URL": url, "UNDERCROFT_MASTER_KEY": MASTER_KEY}
    process = subprocess.Popen(
        [sys.executable, "-c", COLD, json.dumps(event), str(calls)],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = next(json.loads(line) for line in process.stderr if line.startswith('{"first"'))
    memory_mb = processes.pss_mb(process.pid)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(LIMIT_S)
    return shown(said["took"], spent_s=said["cpu"], ready_cpu_s=said["first"], memory_mb=memory_mb)


def one_round(calls: int) -> dict[str, Figures]:
    from tests.support.postgres import running_postgres

    with tempfile.TemporaryDirectory() as scratch, running_postgres(is_durable=True) as postgres:
        folder = Path(scratch)
        found = {"monolith": monolith(folder / "monolith", calls)}
        url = postgres.new_database()
        subprocess.run(
            [sys.executable, "-m", "undercroft", "migrate"], env={**os.environ, "DATABASE_URL": url}, check=True
        )
        found |= services(folder / "services", calls, url)
        found["serverless"] = serverless(folder / "function", calls, url)
    return found


def filled(page: str, result: Mapping[str, Any]) -> str:
    """The guide with its table made anew."""
    return REGION.sub(lambda _: f"\n{section(result)}\n\n", page)


def section(result: Mapping[str, Any]) -> str:
    """The table, and how it came about."""
    machine, found = result["machine"], result["patterns"]
    about = (
        f"Measured on {result['date']} on {machine['cores']} cores ({machine['system']}, Python {machine['python']}), "
        f"which others used at the same time: {result['rounds']} x {result['calls']} calls, one after the other, to a "
        "model that answers at once. CPU and memory are those of our processes, without PostgreSQL; the last column, a "
        "median, is of a machine that was full. Compare rows, not machines: `benchmarks/results/patterns.json` has all "
        "figures, and `python -m benchmarks.patterns` makes them anew."
    )
    lines = [
        "| pattern | what runs | CPU a call | CPU until ready | memory | median time |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, what in ROWS.items():
        one = found[name]
        ready = f"{one['ready_cpu_s']:.1f} s" if "ready_cpu_s" in one else ""
        memory = f"{one['memory_mb']:.0f} MB" if "memory_mb" in one else ""
        lines.append(f"| {name} | {what} | {one['cpu_ms']:.1f} ms | {ready} | {memory} | {one['p50_ms']:.1f} ms |")
    accepted = found["queue"]["accepted_p50_ms"]
    return (
        f"{about}\n\n"
        + "\n".join(lines)
        + f"\n\nA job was accepted after {accepted:.1f} ms (median); its caller may go then."
    )


def medians(rounds: list[dict[str, Figures]]) -> dict[str, Figures]:
    return {
        name: {key: statistics.median(each[name][key] for each in rounds) for key in figures}
        for name, figures in rounds[0].items()
    }


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200, help="of each pattern (default: 200)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--write", action="store_true", help="only put the stored results into the guide")
    options = parser.parse_args()
    if not options.write:
        rounds = [one_round(options.calls) for _ in range(options.rounds)]
        result = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": {
                "cores": os.cpu_count(),
                "system": f"{platform.system()} {platform.release()}",
                "python": platform.python_version(),
            },
            "rounds": options.rounds,
            "calls": options.calls,
            "patterns": medians(rounds),
        }
        RESULTS.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    GUIDE.write_text(filled(GUIDE.read_text("utf-8"), json.loads(RESULTS.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
