"""Programs of this machine, or unpacked from Debian's package without installing it."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

LIMIT_S = 300


@cache
def program(name: str, *, package: str) -> Path | None:
    """None where neither the machine nor its package source has it."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    folder = unpacked(package)
    program = folder / "usr" / "bin" / name if folder is not None else None
    return program if program is not None and program.exists() else None


@cache
def unpacked(*packages: str) -> Path | None:
    """Packages in a folder of their own: nothing is started, and nobody has to be root."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"undercroft-{packages[0]}-"))
    if not _fetched(folder, packages) and (
        os.geteuid() != 0 or not _ran(folder, "apt-get", "update") or not _fetched(folder, packages)
    ):
        return None
    archives = [str(archive) for archive in folder.glob("*.deb")]
    return folder if all(_ran(folder, "dpkg", "-x", archive, str(folder)) for archive in archives) else None


def _fetched(folder: Path, packages: tuple[str, ...]) -> bool:
    return _ran(folder, "apt-get", "download", *packages)


def _ran(folder: Path, *command: str) -> bool:
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=LIMIT_S, check=False).returncode == 0
