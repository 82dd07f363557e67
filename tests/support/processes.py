"""Real processes that run a piece of Python and are gone when the test is."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def python(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process running `program`, with its output as lines; killed at the end of the block if it still runs."""
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def output(process: subprocess.Popen[str]) -> IO[str]:
    """Its standard output, which `python` always makes a pipe."""
    assert process.stdout is not None
    return process.stdout
