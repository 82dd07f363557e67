"""Makes .venv in this checkout, then starts what was asked for.

usage: python3 scripts/setup.py COMMAND [ARGUMENTS]

    run     the server with the bundled models; ARGUMENTS go to `undercroft serve`
    test    the test suite; ARGUMENTS go to pytest
    check   format, lint, types, import contracts, spelling
    bench   gateways and vector stores side by side; ARGUMENTS go to benchmarks/__main__.py
    docs    the documentation as a site; ARGUMENTS go to `mkdocs build`
    setup   nothing more: .venv as `run` needs it
    uv      the locked uv with this machine's pip settings; ARGUMENTS go to uv
"""
# It needs nothing but a python3 and writes nothing outside the checkout. An older python3 must get as far as the line
# that says so: nothing in this file that 3.6 cannot parse, and nothing above the version check that it cannot run.
# ruff: noqa: E402, S606 - imports follow the version check; the script ends by becoming another program

import os
import shutil
import subprocess
import sys
from pathlib import Path

NEWEST_TESTED = (3, 14)
if not (3, 11) <= sys.version_info[:2] <= NEWEST_TESTED or os.name != "posix":
    if os.name != "posix":
        sys.exit("undercroft runs on Linux and macOS; on Windows use WSL2 (see SUPPORT.md)")
    for minor in (14, 13, 12, 11):
        found = shutil.which(f"python3.{minor}")
        # Some of these only look like a Python (a pyenv shim of a version that is off): ask before becoming one.
        probe = [found or "", "-I", "-c", f"import sys; sys.exit(sys.version_info[:2] != (3, {minor}))"]
        if found and subprocess.call(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
            os.execv(found, [found, "-BIS", __file__, *sys.argv[1:]])
    if sys.version_info[:2] < (3, 11):  # noqa: UP036 - this is the check
        sys.exit(
            "undercroft needs Python 3.11 or newer, this is {}.{} and no python3.11 to python3.14 is on PATH: "
            "install one and run the same command again".format(*sys.version_info)
        )

import ast
import fcntl
import hashlib
import platform
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from functools import cached_property

ROOT = Path(__file__).resolve().parent.parent
# What each part of .venv is made from: a part is complete as long as these stay the same.
PINS = {
    "uv": "requirements/uv.txt",
    "run": "requirements/run.txt",
    "dev": "requirements/dev.txt",  # with all of run.txt
    "docs": "requirements/docs.txt",  # on top of dev.txt
    "models": "src/undercroft/providers/local/weights.json",
}
LAYERS = ("run", "dev", "docs")  # packages, each set on top of those before it

# What pip calls it -> what uv, which does not read pip's configuration, calls it.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_OFFLINE",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
}
# A user's standing orders on where else to install, or what: they would divert a locked installation.
DIVERTING = (
    "PIP_CONSTRAINT",
    "PIP_PREFIX",
    "PIP_REQUIREMENT",
    "PIP_ROOT",
    "PIP_TARGET",
    "UV_CONSTRAINT",
    "VIRTUAL_ENV",
)


class SetupFailed(Exception):
    """Says in one line what went wrong and what to do."""


def uv_settings(pip_config: str) -> dict[str, str]:
    """Translates the output of `pip config list`: the machine's own index, certificates and proxy, for uv."""
    rank = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, str]] = {}
    for section, key, quoted in re.findall(r"^(.+?)\.([a-z-]+)=(['\"].*)$", pip_config, re.MULTILINE):
        name = UV_NAMES.get(key.removeprefix("default-"))
        if name and rank.get(section, -1) >= found.get(name, (0, ""))[0]:
            separator = "," if name == "UV_FIND_LINKS" else " "
            found[name] = (rank[section], separator.join(ast.literal_eval(quoted).split()))
    # pip takes the best version from all its indexes; the hashes in the locks make that safe.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match"} | {name: value for name, (_, value) in found.items() if value}


def last_words(output: str) -> str:
    """The line in which pip or uv says why it stopped."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error:", "cause"))]
    last = (errors or lines or ["it said nothing"])[-1]
    # Without a network pip ends with "no matching distribution", as if the package did not exist.
    return f"{last} (no package index could be reached)" if "connection broken by" in output else last


def unsupported_system() -> str:
    """Names the reason why there may be no wheels for this system (SUPPORT.md has the list)."""
    machine, system = platform.machine().lower(), platform.system()
    libc, version = platform.libc_ver()
    if system == "Linux" and libc != "glibc":
        return "onnxruntime has no wheels for musl systems such as Alpine"
    if system == "Linux" and [int(part) for part in version.split(".")] < [2, 28]:
        return f"the wheels need glibc 2.28 or newer, this is {version}"
    if system == "Darwin" and machine != "arm64":
        return "onnxruntime has no wheels for Macs with an Intel processor"
    if system == "Darwin" and int(platform.mac_ver()[0].split(".")[0]) < 14:
        return "the wheels need macOS 14 or newer"
    if machine not in ("x86_64", "amd64", "aarch64", "arm64"):
        return f"there are no wheels for {machine} processors"
    if sys.version_info[:2] > NEWEST_TESTED:
        return "not every package has wheels for this Python: install python{}.{}".format(*NEWEST_TESTED)
    return ""


def launcher(python: Path) -> str:
    """The text of .venv/bin/undercroft: through sh, because a `#!` line cannot hold a path with a space."""
    return f'#!/bin/sh\nexec {shlex.quote(str(python))} -P -m undercroft "$@"\n'


class Environment:
    """The checkout's .venv: what is in it is either marked complete or is made again."""

    def __init__(self, root: Path, *, variables: Mapping[str, str]) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self.models = self.folder / "share" / "undercroft" / "models"
        # Inside a virtual environment (perhaps this very one) sys.executable is nothing that a new one can stand on.
        self.base_python = [getattr(sys, "_base_executable", sys.executable), "-BI"]
        self.variables = {name: value for name, value in variables.items() if name not in DIVERTING}
        self.variables |= {"PIP_USER": "0", "UV_PYTHON_DOWNLOADS": "never", "UV_CACHE_DIR": str(self.folder / ".cache")}
        self._started = time.monotonic()
        self._turn = -1

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", file=sys.stderr, flush=True)

    @cached_property
    def index_variables(self) -> dict[str, str]:
        """The environment in which uv asks the same indexes as this machine's pip."""
        pip = self._pip()
        if not pip:
            return self.variables
        config = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout
        return uv_settings(config) | self.variables

    # What is there

    def has(self, part: str) -> bool:
        """Whether a part is complete. The caller's interpreter plays no role, or two of them would rebuild in turns."""
        try:
            return self.python.exists() and self._mark(part).read_text() == self._fingerprint(part)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _mark(self, part: str) -> Path:
        # The model's mark lies with its files: both survive when the packages are made again.
        return self.models / ".complete" if part == "models" else self.folder / f".complete-{part}"

    def _fingerprint(self, part: str) -> str:
        """Changes with the pins, this script, the checkout's path (scripts hold it) and the Python underneath."""
        digest = hashlib.sha256(os.fsencode(self.folder) + b"\0" + os.fsencode(self.python.resolve()))
        for file in ("scripts/setup.py", PINS["uv"], PINS[part]):
            digest.update((self.root / file).read_bytes())
        return digest.hexdigest()

    # Making it

    def prepare(self, parts: Sequence[str]) -> None:
        if all(self.has(part) for part in parts):
            return
        self._take_turn()
        if all(self.has(part) for part in parts):
            return
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise SetupFailed(f"{self.folder} is not a folder of this checkout: remove it, then type the same again")
        try:
            for part in LAYERS:
                if part in parts and not self.has(part):
                    self._install_packages(part)
            if "models" in parts and not self.has("models"):
                self._fetch_models()
        finally:
            shutil.rmtree(self.folder / ".cache", ignore_errors=True)
        self.say("set-up complete")

    def _take_turn(self) -> None:
        """Set-ups take turns. Our children hold the lock too: one that outlives us (kill -9) is waited for."""
        try:
            self._turn = os.open(self.root / ".venv.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SetupFailed(
                f"cannot write in {self.root} ({error.strerror}): clone it where you may write"
            ) from error
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(self._turn, fcntl.LOCK_EX)

    def _install_packages(self, part: str) -> None:
        below = LAYERS[: LAYERS.index(part)]
        is_extension = bool(below) and self.has(below[-1])
        for other in LAYERS:  # nothing counts as complete while packages change: a killed set-up starts again
            self._mark(other).unlink(missing_ok=True)
        if not is_extension:
            self._make_folder()
        self.say(f"installing what {PINS[part]} names")
        self._install_locked(part)
        for done in (*below, part):
            self._mark(done).write_text(self._fingerprint(done))

    def _make_folder(self) -> None:
        anew = " anew" if (self.folder / "pyvenv.cfg").exists() else ""
        self.say(f"making .venv{anew} with Python {platform.python_version()}")
        command = [*self.base_python, "-m", "venv", str(self.folder)]
        self._empty_folder()
        try:
            self._call("making .venv", command, self.variables)
        except SetupFailed:
            # Debian without python3-venv has no ensurepip, but another pip or a uv can install into the folder as well.
            self._empty_folder()
            self._call("making .venv", [*command, "--without-pip"], self.variables)
            if not self._installers():
                version = "{}.{}".format(*sys.version_info)
                hint = f"apt install python{version}-venv (or install pip or uv), then run the same command again"
                raise SetupFailed(f"this Python cannot bring pip into an environment: {hint}") from None
        site_packages = self.folder / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
        # Relative: with an absolute path with an umlaut in it Python 3.11 does not even start under LC_ALL=C.
        (site_packages / "undercroft.pth").write_text("../../../../src\n")
        script = self.folder / "bin" / "undercroft"
        script.write_bytes(os.fsencode(launcher(self.python)))
        script.chmod(0o755)
        try:
            self._install_locked("uv")
        except SetupFailed as failure:  # pip can install all the rest too, ten times slower
            self.say(f"going on without uv: {failure}")

    def _empty_folder(self) -> None:
        self.folder.mkdir(exist_ok=True)
        for entry in self.folder.iterdir():
            if entry.is_symlink() or not entry.is_dir():
                entry.unlink()
            elif entry.name != "share":  # the models: large, checked by their own hashes, not bound to a Python
                shutil.rmtree(entry)

    def _pip(self) -> list[str]:
        """The pip that can install into .venv: its own, or the one of the Python underneath; none is an empty list."""
        if (self.folder / "bin" / "pip").exists():
            return [str(self.python), "-I", "-m", "pip"]
        pip = [*self.base_python, "-m", "pip"]
        works = subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0
        return [*pip, "--python", str(self.python)] if works else []

    def _installers(self) -> list[list[str]]:
        """What can install a lock, best first: the locked uv, pip, a uv on PATH."""
        own_uv, any_uv = self.folder / "bin" / "uv", shutil.which("uv")
        uv = ["pip", "install", "--python", str(self.python)]
        pip = self._pip()
        return [
            *([[str(own_uv), *uv]] if own_uv.exists() else []),
            *([[*pip, "install", "--no-cache-dir", "--no-input", "--progress-bar=off"]] if pip else []),
            *([[any_uv, *uv]] if any_uv else []),
        ]

    def _install_locked(self, part: str) -> None:
        options = ["--require-hashes", "--only-binary", ":all:", "-r", str(self.root / PINS[part])]
        failures = []
        for installer in self._installers():
            try:
                self._call(f"installing {part}.txt", [*installer, *options], self.index_variables)
            except SetupFailed as failure:
                failures.append(failure)
            else:
                return
        reason = unsupported_system()
        raise SetupFailed(f"{failures[-1]} ({reason})" if reason else str(failures[-1]))

    def _fetch_models(self) -> None:
        self.say("installing the bundled models")
        variables = {name: value for name, value in self.index_variables.items() if name != "PYTHONDONTWRITEBYTECODE"}
        command = [str(self.python), "-P", "-m", "undercroft.providers.local.weights", "--into", str(self.models)]
        status = subprocess.run(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            pass_fds=[self._turn],
            check=False,
        ).returncode
        if status != 0:
            raise SetupFailed("the bundled models could not be installed (the reason stands above)")
        self._mark("models").write_text(self._fingerprint("models"))

    def _call(self, doing: str, command: Sequence[str], variables: Mapping[str, str]) -> None:
        """Runs a step with its output in .venv/setup.log, and says every ten seconds that it still runs."""
        with (self.folder / "setup.log").open("w+b") as log:
            try:
                process = subprocess.Popen(
                    command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[self._turn]
                )
            except OSError as error:  # a uv for another system, a folder mounted noexec
                raise SetupFailed(f"{doing} failed: {command[0]}: {error.strerror}") from error
            while process.returncode is None:
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    self.say(f"still {doing}")
                except BaseException:
                    process.terminate()
                    process.wait()
                    raise
            if process.returncode != 0:
                log.seek(0)
                raise SetupFailed(f"{doing} failed: {last_words(log.read().decode(errors='replace'))}")


NEEDS = {
    "run": ["run", "models"],
    "setup": ["run", "models"],
    "test": ["dev", "models"],
    "check": ["dev"],
    "bench": ["dev"],
    "docs": ["dev", "docs"],
    "uv": ["run"],
}


def main(arguments: Sequence[str]) -> int:
    command, *rest = arguments or ["--help"]
    if rest[:1] == ["--"]:
        rest = rest[1:]
    if command not in NEEDS:
        is_question = command in ("-h", "--help")
        print(__doc__.partition("\n\n")[2], end="", file=sys.stdout if is_question else sys.stderr)
        return 0 if is_question else 2
    environment = Environment(ROOT, variables=os.environ)
    try:
        try:
            environment.prepare(NEEDS[command])
        except SetupFailed as failure:
            environment.say(str(failure))
            if command != "run" or not environment.has("run"):
                return 1
            environment.say("going on without the bundled models; the next `make run` tries again")
        return start(environment, command, rest)
    except OSError as error:
        environment.say(f"failed: {error.strerror}: {error.filename}")
        return 1
    except KeyboardInterrupt:
        environment.say("interrupted; the same command starts again")
        return 130


def start(environment: Environment, command: str, arguments: Sequence[str]) -> int:
    """Becomes the program that was asked for."""
    python, variables = str(environment.python), dict(os.environ)
    if command == "run":
        # Containers and CI often forbid bytecode; every start would pay a second of compilation for it.
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        os.execve(python, [python, "-P", "-m", "undercroft", "serve", *arguments], variables)
    os.chdir(environment.root)
    if command == "test":
        shared = ["-n", "2", "--dist", "loadgroup", "-m", "not system and not torture"]
        os.execve(python, [python, "-m", "pytest", *shared, *arguments], variables)
    if command == "check":
        os.execve(python, [python, "scripts/check.py", *arguments], variables)
    if command == "docs":
        variables["NO_MKDOCS_2_WARNING"] = "1"
        os.execve(python, [python, "-m", "mkdocs", "build", "--strict", *arguments], variables)
    if command == "bench":
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        os.execve(python, [python, "-m", "benchmarks", *arguments], variables)
    if command == "uv":
        uv = str(environment.folder / "bin" / "uv")
        os.execve(uv, [uv, *arguments], environment.index_variables | {"UV_NO_CACHE": "1"})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
