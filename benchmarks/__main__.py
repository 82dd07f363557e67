"""All that `make bench` measures, one after the other: each part a program of its own, with results of its own.

usage: python -m benchmarks [--only gateway,jobs,job_faults] [ARGUMENTS of the only part]
"""

import argparse
import subprocess
import sys
from typing import Final

PARTS: Final = ("gateway", "jobs", "job_faults")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help=f"of {', '.join(PARTS)}")
    options, arguments = parser.parse_known_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if arguments and len(parts) > 1:
        parser.error(f"{arguments[0]} is for one part: name it with --only")
    # Not in this process: a part may pin itself to one core, for good.
    codes = [subprocess.call([sys.executable, "-m", f"benchmarks.{part}", *arguments]) for part in parts]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
