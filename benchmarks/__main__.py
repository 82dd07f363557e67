"""All comparisons one after the other, or the one that is named: `make bench ARGS="vectors --size 20000"`.

Without a name, options are those of the first, benchmarks/gateway.py; without anything, all are run.
"""

import subprocess
import sys
from typing import Final

USUAL: Final = ("gateway", "telemetry", "vectors", "jobs", "job_faults")
NAMED: Final = (*USUAL, "decisions", "patterns", "retrieval", "semantic", "serverless", "swap")


def commands(arguments: list[str]) -> list[list[str]]:
    """What is run for these arguments. Raises SystemExit for a name that is none."""
    if not arguments:
        return [[name] for name in USUAL]
    if arguments[0].startswith("-"):
        return [[USUAL[0], *arguments]]
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
