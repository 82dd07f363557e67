"""Reads one file in a process of its own, `python -m undercroft.vectors.ingestion.reading_process FORMAT BOUNDS`: bytes
in, JSON out. Its memory and time are bounded, so that a file takes nothing down but this."""

import contextlib
import sys
from typing import cast

import msgspec

from undercroft.errors import UndercroftError
from undercroft.vectors.ingestion.reader import Answer, Bounds, Format, read_here


def main() -> int:
    """Writes an Answer. A reader that runs out of memory, or into an error of its own, ends the process with 1."""
    kind, bounds = cast("Format", sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Bounds)
    _bound(bounds)
    content = sys.stdin.buffer.read()
    try:
        answer = Answer(document=read_here(kind, content, bounds))
    except UndercroftError as error:
        answer = Answer(error=error.message, hint=error.hint)
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


def _bound(bounds: Bounds) -> None:
    if sys.platform == "win32":
        return
    import resource

    # macOS knows no limit of address space that it keeps.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (bounds.memory_bytes, bounds.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.seconds, bounds.seconds))


if __name__ == "__main__":
    sys.exit(main())
