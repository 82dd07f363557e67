"""What clients notice when a version takes over from another under load, and when a bad one is taken back.

usage: python -m benchmarks.swap [--rounds N] [--answers N] [--pause-ms N] [--out FILE]

The load is that of tests/system/test_blue_green.py: sixteen clients that keep their connection, four that connect for
each call, four that listen to streams, none of which tries anything twice. Here each rests between its calls, so that
the machine has something left for a second version: without that its cores are what is measured. `during` is from
`undercroft deploy switch` to its end, `starting` while the new version comes up beside the old one. The results go to
benchmarks/results/swap.json, and into docs/guides/upgrades.md by `python -m benchmarks.readme`.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import this_machine
from tests.support.deployed import deployed
from tests.support.swap_load import SwapLoad
from tests.support.swaps import provider, switched, taken_back, version
from tests.support.upstream import Upstream

RESULTS: Final = Path(__file__).resolve().parent / "results" / "swap.json"
KEPT, FRESH, STREAMS = 16, 4, 4
"""Clients of each kind."""

Figures = dict[str, Any]


def good(folder: Path, upstream: Upstream, *, answers: int, pause_s: float) -> Figures:
    """A version that is as good as the one before it. Goes on until there were so many answers."""
    with deployed(folder) as host:
        host.done("up", settings=version("one", upstream))
        with SwapLoad(host.port, kept=KEPT, fresh=FRESH, streams=STREAMS, pause_s=pause_s) as load:
            done = switched(host, upstream, load)
            load.goes_on_for(max(answers - len(load.seen.answers), 1))
        seen = load.seen
        p99_ms = done.p99_ms(seen)
    return {
        "requests": len(seen.answers),
        "streams": len(seen.streams),
        "failed": seen.failed,
        "reconnects": seen.reconnects,
        "p99_ms": p99_ms,
        "p99_during_x_before": p99_ms["during"] / p99_ms["before"],
        "switch_s": done.moving[1] - done.moving[0],
    }


def bad(folder: Path, upstream: Upstream, *, pause_s: float) -> Figures:
    """One that answers every call with an error."""
    with deployed(folder) as host:
        taken = taken_back(host, upstream, pause_s=pause_s)
    if taken.command.exit_code != 1:
        raise RuntimeError(f"it was not taken back: {taken.command}")
    failed, requests = taken.seen.failed, len(taken.seen.answers)
    return {"requests": requests, "failed": failed, "failed_share": taken.failed_share, "taken_back_s": taken.took_s}


def median(rounds: list[Figures]) -> Figures:
    """Of each figure; counts are added up."""
    found: Figures = {}
    for name, value in rounds[0].items():
        values = [each[name] for each in rounds]
        if isinstance(value, dict):
            found[name] = median(values)
        elif isinstance(value, int):
            found[name] = sum(values)
        else:
            found[name] = statistics.median(values)
    return found


def measured(rounds: int, *, answers: int, pause_s: float) -> Figures:
    goods, bads = [], []
    with tempfile.TemporaryDirectory() as scratch, provider() as upstream:
        for number in range(rounds):
            upstream.answers.pop("chat", None)
            goods.append(good(Path(scratch) / f"good-{number}", upstream, answers=answers, pause_s=pause_s))
            bads.append(bad(Path(scratch) / f"bad-{number}", upstream, pause_s=pause_s))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": this_machine(),
        "rounds": rounds,
        "clients": {"kept": KEPT, "fresh": FRESH, "streams": STREAMS, "pause_ms": pause_s * 1000},
        "good": median(goods),
        "bad": median(bads),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--answers", type=int, default=20_000, help="of a good switch, at least (default: 20000)")
    parser.add_argument("--pause-ms", type=float, default=50, help="between the calls of a client (default: 50)")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"(default: {RESULTS.name} among the results)")
    options = parser.parse_args()
    result = measured(options.rounds, answers=options.answers, pause_s=options.pause_ms / 1000)
    options.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
