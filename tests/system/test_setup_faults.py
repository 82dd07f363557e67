"""The set-up with the real packages on machines and at moments that are against it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import clean_environment, cloned

pytestmark = pytest.mark.system

# Every installed file against the hash its package recorded for it.
VERIFY = """
import base64, hashlib, importlib.metadata
def is_right(file):
    digest = hashlib.new(file.hash.mode, file.read_binary()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") == file.hash.value
files = [file for package in importlib.metadata.distributions() for file in package.files or () if file.hash]
wrong = [str(file) for file in files if not is_right(file)]
print(f"{len(files)} installed files, {len(wrong)} not as recorded")
raise SystemExit(f"not as recorded: {wrong[:5]}" if wrong or not files else 0)
"""


def base_python() -> Path:
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def command(root: Path, *arguments: str) -> list[str]:
    return [str(base_python()), "-BIS", str(root / "scripts" / "setup.py"), *arguments]


def setup(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env=environment or clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def verify(root: Path) -> None:
    """Nothing half-installed: hashes, dependencies."""
    python, uv = root / ".venv" / "bin" / "python", root / ".venv" / "bin" / "uv"
    subprocess.run([python, "-I", "-c", VERIFY], check=True)
    subprocess.run([uv, "pip", "check", "--quiet", "--python", python], env=clean_environment(), check=True)


def namespaces() -> list[str]:
    """A command in front of another that lets it mount over folders for itself alone."""
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("not run: no mount namespaces here (unshare)")
    return own


def without(*modules: str, nothing: Path) -> list[str]:
    """A command in front of another for which these packages of the Python underneath are empty folders."""
    find = (
        "import importlib, sys; print(*(importlib.import_module(name).__path__[0] for name in sys.argv[1:]), sep='\\n')"
    )
    found = subprocess.run([base_python(), "-I", "-c", find, *modules], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"not run: {base_python()} does not have {' and '.join(modules)} to begin with")
    script = 'set -e; while [ "$1" != -- ]; do mount --bind "$NOTHING" "$1"; shift; done; shift; exec "$@"'
    return [*namespaces(), "env", f"NOTHING={nothing}", "sh", "-c", script, "sh", *found.stdout.splitlines(), "--"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with cloned(tmp_path / "undercroft") as root:
        yield root


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone whose set-up was killed in each of its steps, and then left to finish."""
    with cloned(tmp_path_factory.mktemp("killed") / "undercroft") as root:
        kill_in_each_step(root)
        started = time.monotonic()
        finished = setup(*command(root, "setup"))
        assert finished.returncode == 0, finished.stderr
        print(f"\nset-up after three kills: {time.monotonic() - started:.1f} s")
        yield root


def kill_in_each_step(root: Path) -> None:
    for step in ("making .venv", "installing what", "installing the bundled models"):
        with subprocess.Popen(
            command(root, "setup"), env=clean_environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if step in line:
                    break
            time.sleep(0.5)  # into the middle of it
            assert process.poll() is None, f"it was not killed while {step}"
            os.killpg(process.pid, signal.SIGKILL)


def test_a_set_up_killed_in_any_step_is_made_whole_by_the_next(survivor: Path) -> None:
    verify(survivor)


def test_a_finished_set_up_asked_again_takes_a_moment(survivor: Path) -> None:
    started = time.monotonic()
    again = setup(*command(survivor, "setup"))
    seconds = time.monotonic() - started
    print(f"\nfinished set-up asked again: {seconds:.3f} s")

    assert (again.returncode, again.stderr) == (0, "")
    assert seconds < 1, "ten times the 0.1 s it should take"


def test_a_taken_port_is_one_line_with_the_next_port(survivor: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = setup(*command(survivor, "run"), environment=clean_environment(PORT=str(port)))

    assert ended.returncode == 1
    assert f"{port}" in ended.stderr
    assert f"PORT={port + 1}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_read_only_checkout_is_refused_in_one_line(root: Path) -> None:
    if os.geteuid() == 0:  # permissions do not bind root
        mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        ended = setup(*namespaces(), "sh", "-c", mount, str(root), *command(root, "run"))
    else:
        root.chmod(0o555)
        ended = setup(*command(root, "run"))
        root.chmod(0o755)

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "clone it where you may write" in ended.stderr


def test_two_set_ups_at_once_leave_one_sound_environment(root: Path) -> None:
    with subprocess.Popen(command(root, "setup"), env=clean_environment(), stderr=subprocess.PIPE, text=True) as first:
        second = setup(*command(root, "setup"))
        _, errors = first.communicate()

    assert first.returncode == second.returncode == 0, errors + second.stderr
    assert ("installing" in errors) != ("installing" in second.stderr), "one installs, the other waits"
    verify(root)


def test_without_ensurepip_another_pip_does_it(root: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    if setup(str(base_python()), "-I", "-m", "pip", "--version").returncode:
        pytest.skip(f"not run: {base_python()} has no pip of its own")
    ended = setup(*without("ensurepip", nothing=tmp_path / "nothing"), *command(root, "uv", "--version"))

    assert ended.returncode == 0, ended.stderr
    verify(root)


def test_without_any_pip_the_line_says_what_to_install(root: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    front = without("ensurepip", "pip", nothing=tmp_path / "nothing")
    programs = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "uv").exists()
    )
    ended = setup(*front, *command(root, "run"), environment=clean_environment(PATH=programs))

    assert ended.returncode == 1
    assert "apt install python3." in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_an_older_python_becomes_a_newer_one_or_says_what_is_needed(tmp_path: Path) -> None:
    for minor in (6, 7, 8, 9, 10):
        old = shutil.which(f"python3.{minor}")
        if old and subprocess.run([old, "-c", ""], capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip("not run: no Python from 3.6 to 3.10 on PATH")
    script = str(Path(__file__).parents[2] / "scripts" / "setup.py")

    alone = setup(old, "-I", script, "--help", environment=clean_environment(PATH=str(tmp_path)))
    assert alone.returncode == 1
    assert alone.stderr.startswith("undercroft needs Python 3.11 or newer")

    (tmp_path / "python3.14").write_text("#!/bin/sh\nexit 127\n")  # as a pyenv shim of a version that is off
    (tmp_path / "python3.14").chmod(0o755)
    version = ".".join(map(str, sys.version_info[:2]))
    (tmp_path / f"python{version}").symlink_to(base_python())
    helped = setup(old, "-I", script, "--help", environment=clean_environment(PATH=str(tmp_path)))
    assert (helped.returncode, helped.stdout.startswith("usage:")) == (0, True), helped.stderr
