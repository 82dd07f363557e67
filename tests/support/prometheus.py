"""Prometheus and promtool: those of this machine, or unpacked from Debian's package without installing it."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

PACKAGE = "prometheus"
LIMIT_S = 300


@cache
def program(name: str) -> Path | None:
    """`prometheus` or `promtool`; None where neither the machine nor its package source has it."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    folder = unpacked()
    program = folder / "usr" / "bin" / name if folder is not None else None
    return program if program is not None and program.exists() else None


@cache
def unpacked() -> Path | None:
    """Debian's package in a folder of its own: nothing is started, and nobody has to be root."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="undercroft-prometheus-"))
    if not _fetched(folder) and (os.geteuid() != 0 or not _ran(folder, "apt-get", "update") or not _fetched(folder)):
        return None
    (package,) = folder.glob("*.deb")
    return folder if _ran(folder, "dpkg", "-x", str(package), str(folder)) else None


def _fetched(folder: Path) -> bool:
    return _ran(folder, "apt-get", "download", PACKAGE)


def _ran(folder: Path, *command: str) -> bool:
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=LIMIT_S, check=False).returncode == 0
