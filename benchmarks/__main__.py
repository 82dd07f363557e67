"""The usual comparisons one after the other in about ten minutes, or the one that is named, at its full length:
`make bench ARGS="vectors --size 20000"`.

Options without a name are those of the first, benchmarks/gateway.py. Short runs say whether something has changed by a
lot; they are kept apart from the full ones, whose figures the documentation quotes.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

SHORT: Final[Mapping[str, Sequence[str]]] = {
    "gateway": ("--contenders", "nginx,undercroft,undercroft_cached,naive", "--rounds", "2", "--seconds", "1"),
    "telemetry": ("--rounds", "3", "--seconds", "1"),
    "vectors": ("--size", "20000", "--real", "4000", "--contenders", "undercroft,qdrant-edge", "--rounds", "2"),
    "jobs": ("--jobs", "500", "--rounds", "1"),
    "job_faults": ("--jobs", "20"),
}
"""What is run without arguments, with the options that make it short."""
RESULTS: Final = Path(__file__).parent / "results" / "short"
NAMED: Final = (*SHORT, "decisions", "patterns", "retrieval", "semantic", "serverless", "swap")


def commands(arguments: list[str]) -> list[list[str]]:
    """What is run for these arguments. Raises SystemExit for a name that is none."""
    if not arguments:
        return [[name, *options, "--out", str(RESULTS / f"{name}.json")] for name, options in SHORT.items()]
    if arguments[0].startswith("-"):
        return [["gateway", *arguments]]
    if arguments[0] not in NAMED:
        sys.exit(f"There is no benchmark {arguments[0]!r}; there are {', '.join(NAMED)}.")
    return [arguments]


def main() -> int:
    ended = [
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *rest], check=False).returncode
        for name, *rest in commands(sys.argv[1:])
    ]
    return max(ended)


if __name__ == "__main__":
    sys.exit(main())
