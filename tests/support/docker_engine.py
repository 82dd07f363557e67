"""A Docker engine of the tests' own: installed from Debian, started by hand, and gone without a trace.

It has its own socket and folder and touches no other engine. Where it cannot be had, the reason is one line.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

START_LIMIT_S: Final = 60
PACKAGES: Final = ("docker.io", "iptables", "mmdebstrap")
PLUGINS: Final = {"docker-compose": "docker-compose", "docker-buildx": "docker-buildx"}
"""Debian's package and the program in it; bookworm has neither, the release after it has both."""
PLUGIN_RELEASE: Final = "trixie"


class NoEngine(Exception):
    """No engine can be had here; the text is why."""


@dataclass(frozen=True)
class Engine:
    """A running engine, for the `docker` command in `environment`."""

    environment: Mapping[str, str]
    release: str
    """Debian's name for what the machine runs."""
    mirror: str
    """Where the machine gets its packages from."""

    def docker(self, *arguments: str | Path, folder: Path | None = None, limit_s: float = 600) -> str:
        """What the command prints. Raises AssertionError with all that it said where it fails."""
        command = ["docker", *map(str, arguments)]
        ended = subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        assert ended.returncode == 0, (
            f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
        )
        return ended.stdout


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Starts an engine whose data lies in the folder, and takes it down with all it made. Raises NoEngine."""
    _check_machine()
    release, mirror = _debian()
    _install(folder)
    programs = _plugins(folder, mirror)
    socket = folder / "docker.sock"
    environment = {
        **os.environ,
        "DOCKER_HOST": f"unix://{socket}",
        "DOCKER_CONFIG": str(programs),
        "BUILDKIT_PROGRESS": "plain",
    }
    environment["DOCKER_BUILDKIT"] = "1"
    with _firewall_restored(), _daemon(folder, socket, environment):
        yield Engine(environment, release, mirror)


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise NoEngine("starting a Docker engine takes root")
    if shutil.which("apt-get") is None:
        raise NoEngine("this is no Debian, from whose packages the engine is installed")
    for process in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = process.read_text().strip()
        except OSError:  # ended meanwhile
            continue
        if name == "dockerd":
            raise NoEngine("another Docker engine runs here, and two of them would share one firewall")


def _debian() -> tuple[str, str]:
    """The release that runs here, and the mirror that this machine uses."""
    said = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    release = said.get("VERSION_CODENAME", "").strip('"')
    sites = [line.split()[1] for line in listing.stdout.splitlines() if line.split()[:1] == [release]]
    if not sites:
        raise NoEngine(f"apt knows no mirror of {release or 'this system'}")
    return release, sites[0]


def _install(folder: Path) -> None:
    """What is missing of the packages. They start nothing: a policy of ours forbids it while they are set up."""
    if all(shutil.which(name) for name in ("dockerd", "iptables", "mmdebstrap", "docker")):
        return
    _apt("update")
    policy, forbids = Path("/usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n"
    is_ours = not policy.exists()
    if is_ours:
        policy.write_text(forbids)
        policy.chmod(0o755)
    try:
        _apt("install", "-y", "--no-install-recommends", *PACKAGES)
    finally:
        if is_ours:
            policy.unlink()


def _plugins(folder: Path, mirror: str) -> Path:
    """A configuration folder for the client, with compose and buildx as its plugins."""
    config = folder / "client"
    plugins = config / "cli-plugins"
    plugins.mkdir(parents=True)
    (config / "config.json").write_text("{}\n")
    lists, sources = folder / "apt" / "lists", folder / "apt" / "sources"
    (lists / "partial").mkdir(parents=True)
    sources.mkdir()
    (sources / "plugins.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {PLUGIN_RELEASE}\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
    aside = [f"-oDir::Etc::sourceparts={sources}", "-oDir::Etc::sourcelist=/dev/null", f"-oDir::State::lists={lists}"]
    _apt("update", *aside)
    _apt("download", *aside, *PLUGINS, folder=folder / "apt")
    for package, program in PLUGINS.items():
        (archive,) = (folder / "apt").glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "--extract", archive, folder / "apt" / package], check=True)
        (found,) = (folder / "apt" / package).rglob(f"cli-plugins/{program}")
        shutil.move(found, plugins / program)
    return config


def _apt(*arguments: str, folder: Path | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ended = subprocess.run(
        ["apt-get", "-q", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NoEngine(f"apt-get {arguments[0]} failed: {last}")


@contextmanager
def _daemon(folder: Path, socket: Path, environment: Mapping[str, str]) -> Iterator[None]:
    log = folder / "dockerd.log"
    command = [
        "dockerd",
        f"--host=unix://{socket}",
        f"--data-root={folder / 'data'}",
        f"--exec-root={folder / 'exec'}",
        f"--pidfile={folder / 'dockerd.pid'}",
        "--bridge=none",
        "--log-level=warn",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while subprocess.run(["docker", "version"], env=environment, capture_output=True, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                last = (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
                raise NoEngine(f"dockerd does not start: {last}")
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        for mount in reversed(_mounts_below(folder)):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(folder / "data", ignore_errors=True)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{folder}/")]


@contextmanager
def _firewall_restored() -> Iterator[None]:
    """The rules that an engine leaves behind, and its policy to forward nothing, would cut others off."""
    before = {program: _saved(f"{program}-save") for program in ("iptables", "ip6tables")}
    forwards = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    try:
        yield
    finally:
        for program, rules in before.items():
            _flush(program)
            subprocess.run([f"{program}-restore"], input=rules, text=True, capture_output=True, check=False)
        Path("/proc/sys/net/ipv4/ip_forward").write_text(forwards)


def _saved(program: str) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=False).stdout


def _flush(program: str) -> None:
    """Takes away what the engine has added, its chains and the policy of FORWARD; what was there is restored after."""
    for table in ("filter", "nat"):
        for order in ("--flush", "--delete-chain"):
            subprocess.run([program, "--table", table, order], capture_output=True, check=False)
    subprocess.run([program, "--policy", "FORWARD", "ACCEPT"], capture_output=True, check=False)
