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
def installed(name: str, *, package: str) -> bool:
    """For what is linked to too much to be unpacked: installs the package where the program is missing, as root."""
    if shutil.which(name) is None and shutil.which("apt-get") is not None and os.geteuid() == 0:
        install = ("apt-get", "install", "-q", "-y", "--no-install-recommends", package)
        _ran(Path("/"), "apt-get", "-q", "update")
        _ran(Path("/"), *install)
    return shutil.which(name) is not None


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


@cache
def unpacked_from(release: str, package: str) -> Path | None:
    """A package of another release than the machine's, from the same mirror, aside from the machine's own lists."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return None
    listing = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
    if not sites:
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"undercroft-{package}-"))
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "sources").mkdir()
    (folder / "sources" / "release.sources").write_text(
        f"Types: deb\nURIs: {sites[0]}\nSuites: {release}\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
    aside = [f"-oDir::Etc::sourceparts={folder / 'sources'}", "-oDir::Etc::sourcelist=/dev/null"]
    aside.append(f"-oDir::State::lists={folder / 'lists'}")
    if not _ran(folder, "apt-get", "update", *aside) or not _ran(folder, "apt-get", "download", *aside, package):
        return None
    (archive,) = folder.glob("*.deb")
    return folder if _ran(folder, "dpkg", "-x", str(archive), str(folder)) else None


def _fetched(folder: Path, packages: tuple[str, ...]) -> bool:
    return _ran(folder, "apt-get", "download", *packages)


def _ran(folder: Path, *command: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=LIMIT_S, check=False)
    return done.returncode == 0
