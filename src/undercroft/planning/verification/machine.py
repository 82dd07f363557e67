"""What processes use, read from /proc, and on which cores they run."""

import contextlib
import os
from pathlib import Path

from msgspec import Struct

PROC = Path("/proc")


class Cores(Struct, frozen=True):
    """Who runs where. Empty: this system cannot pin."""

    server: frozenset[int] = frozenset()
    generator: frozenset[int] = frozenset()

    @property
    def is_apart(self) -> bool:
        return bool(self.server) and not self.server & self.generator


def divide_cores(workers: int) -> Cores:
    """The last usable core for the generator and its stand-in, the first ones for the server."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores()
    usable = sorted(os.sched_getaffinity(0))
    servers = usable[: max(1, min(workers, len(usable) - 1))]
    return Cores(frozenset(servers), frozenset(usable[-1:]))


def pin(cores: frozenset[int]) -> None:
    """This process and those that it starts from now on."""
    if cores:
        os.sched_setaffinity(0, cores)


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        left += children.get(one, ())
    return found


def cpu_s(pid: int) -> float | None:
    """CPU time of the living threads of the tree so far; None where /proc does not tell."""
    total, seen = 0, False
    for process in tree(pid):
        with contextlib.suppress(OSError):
            for thread in (PROC / str(process) / "task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((thread / "schedstat").read_text().split()[0])
                    seen = True
    return total / 1e9 if seen else None


def resident_mb(pid: int) -> float | None:
    """Resident memory of the tree; None where /proc does not tell."""
    pages = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            pages += int((PROC / str(process) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else None


def busy_elsewhere() -> float | None:
    """The load average of the last minute: a machine that others use measures them, too."""
    with contextlib.suppress(OSError):
        return os.getloadavg()[0]
    return None
