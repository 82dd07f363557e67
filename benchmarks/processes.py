"""What a process tree costs, read from `/proc`: CPU time in nanoseconds of every thread, memory as its share (PSS)."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """The process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        left += children.get(one, ())
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of the living threads of the whole tree so far."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            for thread in (PROC / str(process) / "task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((thread / "schedstat").read_text().split()[0])
    return total


def pss_mb(pid: int) -> float:
    """Proportional set size of the whole tree."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", (PROC / str(process) / "smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total / 1024


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process we started and its children, politely first."""
    pids = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.05)
