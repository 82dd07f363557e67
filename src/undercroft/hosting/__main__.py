"""`python -m undercroft.hosting`: the host process, as `undercroft deploy up` starts it."""

import argparse
import sys
from pathlib import Path

from undercroft.api.child import Parent
from undercroft.api.supervisor import READY
from undercroft.errors import UndercroftError
from undercroft.hosting.serving import run_host
from undercroft.telemetry.logs import configure_logging


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--status", type=int, required=True, help="where to say that it is ready, or cannot be")
    options = parser.parse_args()
    configure_logging()
    parent = Parent(options.status)

    def ready() -> None:
        parent.tell(READY)

    try:
        run_host(options.folder, ready=ready)
    except UndercroftError as error:
        if not parent.tell(str(error).encode()):
            sys.stderr.write(f"undercroft: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
