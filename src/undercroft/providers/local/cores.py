"""How many processor cores this process may really use."""

import os
from pathlib import Path

MOST = 8
"""More threads than this only wait for each other with models of this size."""


def usable_cores(quota_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores of the machine, less those an affinity mask or a container's quota takes away; at most MOST."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
    except (OSError, ValueError):
        quota, period = "max", "1"
    if quota != "max":
        cores = min(cores, -(-int(quota) // int(period)))
    return max(1, min(cores, MOST))
