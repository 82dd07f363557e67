"""Jobs: how many are accepted and done a second, and how soon one is picked up, beside others in the same run.

usage: python -m benchmarks.jobs [--jobs N] [--rounds N] [--contenders "plain Celery;procrastinate"] [--out FILE]

Two worker processes each (embedded: one process in all), a job that does nothing but say that it ran. Contenders take
turns, round after round, so that what else the machine does hits all of them. Rates are of one machine: only their
ratios say something about another.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.ear import LIMIT_S, Ear
from benchmarks.goals import shown, written
from benchmarks.job_contenders import CONTENDERS, Contender, Stage
from benchmarks.job_goals import goals_of
from benchmarks.machine import this_machine
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.redis import running_redis

RESULTS: Final = Path(__file__).parent / "results" / "jobs.json"
BASELINE: Final = "plain Celery"
PACED: Final = 300
PAUSE_S: Final = 0.004


@dataclass(frozen=True)
class Figures:
    """What one contender did in one round."""

    accepted_per_s: float
    """With so many callers at once as its usual client allows (ours: 16; the others' are synchronous)."""
    done_per_s: float
    """From the first call to the last result, workers running."""
    one_caller_per_s: float
    """The same with one caller, who hands the next one in when the last is accepted, as others' clients always do."""
    drained_per_s: float | None
    """A backlog that was there before the workers went on; None: nobody can be stopped without the other."""
    one_by_one_per_s: float
    """A round trip each: the next one is handed in when the last has run."""
    pickup_p50_ms: float
    pickup_p99_ms: float


FIELDS: Final = tuple(Figures.__dataclass_fields__)


def measure(contender: Contender, ear: Ear, jobs: int) -> Figures:
    """One round."""
    _wake_all(contender, ear)

    def over(count: int) -> float:
        ear.hear(count)
        _until(contender.is_settled)
        return time.perf_counter()

    begun = time.perf_counter()
    contender.hand_in(jobs)
    accepted = time.perf_counter()
    done = over(jobs)
    alone = time.perf_counter()
    contender.hand_in(jobs, callers=1)
    one_caller_per_s = jobs / (over(jobs) - alone)
    drained_per_s = None
    if contender.workers:
        for worker in contender.workers:
            os.killpg(worker.pid, signal.SIGSTOP)
        contender.hand_in(jobs)
        resumed = time.perf_counter()
        for worker in contender.workers:
            os.killpg(worker.pid, signal.SIGCONT)
        drained_per_s = jobs / (over(jobs) - resumed)
    first = time.perf_counter()
    for _ in range(PACED):
        contender.hand_in(1)
        ear.one()
    last = over(0)
    waits_ms = []
    for _ in range(PACED):
        time.sleep(PAUSE_S)
        asked = time.time()  # noqa: TID251 - compared with another process's
        contender.hand_in(1)
        waits_ms.append((ear.one() - asked) * 1000)
    return Figures(
        accepted_per_s=jobs / (accepted - begun),
        done_per_s=jobs / (done - begun),
        one_caller_per_s=one_caller_per_s,
        drained_per_s=drained_per_s,
        one_by_one_per_s=PACED / (last - first),
        pickup_p50_ms=statistics.median(waits_ms),
        pickup_p99_ms=statistics.quantiles(waits_ms, n=100)[98],
    )


def _wake_all(contender: Contender, ear: Ear) -> None:
    """Returns when each process has run some job."""
    seen: set[int] = set()
    deadline = time.monotonic() + LIMIT_S
    while len(seen) < contender.processes:
        assert time.monotonic() < deadline, "not all workers run jobs"
        contender.hand_in(50)
        seen |= {process for _, process in ear.hear(50)}
    _until(contender.is_settled)


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < deadline, "this takes too long"
        time.sleep(0.005)


def one_round(name: str, postgres: PostgresServer, jobs: int) -> Figures:
    with tempfile.TemporaryDirectory() as place, running_redis() as redis:
        folder = Path(place)
        ear = Ear(folder)
        environment = {**os.environ, "BENCH_EAR": str(ear.path)}
        try:
            with CONTENDERS[name](Stage(folder, environment, postgres, redis.url)) as contender:
                return measure(contender, ear, jobs)
        finally:
            ear.close()


def run(names: Sequence[str], *, rounds: int, jobs: int, console: Console) -> dict[str, list[Figures]]:
    """Every contender's rounds."""
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with running_postgres(is_durable=True) as postgres, Progress(console=console, transient=True) as progress:
        task = progress.add_task("jobs", total=rounds * len(names))
        for _ in range(rounds):
            for name in names:
                found[name].append(one_round(name, postgres, jobs))
                progress.advance(task)
    return found


def medians(rounds: Sequence[Figures]) -> dict[str, float | None]:
    """Of each figure that was measured."""
    middle: dict[str, float | None] = {}
    for field in FIELDS:
        values = [value for each in rounds if (value := asdict(each)[field]) is not None]
        middle[field] = statistics.median(values) if values else None
    return middle


def ratios(found: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Rates against plain Celery's of the same run."""
    base = found.get(BASELINE)
    if base is None:
        return {}
    return {
        name: {
            field: value / other
            for field in FIELDS
            if field.endswith("_per_s") and (value := figures[field]) and (other := base[field])
        }
        for name, figures in found.items()
    }


def table(result: Mapping[str, Any]) -> Table:
    """The figures people ask for first."""
    shown = Table(title="Jobs side by side (medians; in brackets the ratio to plain Celery in this run)")
    for column in (
        "",
        "accepted/s",
        "done/s",
        "one caller/s",
        "backlog/s",
        "one by one/s",
        "picked up p50 ms",
        "p99 ms",
    ):
        shown.add_column(column, justify="right" if column else "left")
    for name, figures in result["contenders"].items():
        against = result["ratios"].get(name, {})
        cells = [
            "-" if figures[field] is None else f"{figures[field]:.0f} ({against.get(field, float('nan')):.2f}x)"
            for field in FIELDS[:5]
        ]
        shown.add_row(name, *cells, *(f"{figures[field]:.2f}" for field in FIELDS[5:]))
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", default=";".join(CONTENDERS), help="names, with a semicolon between them")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    console = Console()
    names = [name.strip() for name in options.contenders.split(";")]
    found = run(names, rounds=options.rounds, jobs=options.jobs, console=console)
    middle = {name: medians(rounds) for name, rounds in found.items()}
    goals = goals_of(middle)
    result = {
        "machine": this_machine(),
        "rounds": options.rounds,
        "jobs": options.jobs,
        "contenders": middle,
        "ratios": ratios(middle),
        "goals": written(goals),
        "every_round": {name: [asdict(each) for each in rounds] for name, rounds in found.items()},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    console.print(table(result))
    console.print(shown(goals))
    console.print(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
