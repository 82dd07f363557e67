"""undercroft as a wheel: what a build tool would make, the same every time."""

import email.message
import io
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from undercroft import __version__
from undercroft.deploy.wheel import build, packed

INFO = f"undercroft-{__version__}.dist-info"


def metadata(wheel: bytes) -> email.message.Message:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What hatchling makes of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl")).read_bytes()


def requirements(found: email.message.Message) -> set[str]:
    from packaging.requirements import Requirement

    # hatchling spells out what `all` refers to, pip follows the reference: the same.
    return {str(Requirement(each)) for each in found.get_all("Requires-Dist", []) if "'all'" not in each}


def test_it_says_what_hatchlings_says(reference: bytes) -> None:
    ours, theirs = metadata(build().content), metadata(reference)

    for name in ("Name", "Version", "Summary", "License-Expression", "Requires-Python"):
        assert ours[name] == theirs[name]
    assert requirements(ours) == requirements(theirs)
    for name in ("Provides-Extra", "Classifier"):
        assert sorted(ours.get_all(name, [])) == sorted(theirs.get_all(name, []))


def test_it_holds_the_same_files(reference: bytes) -> None:
    def package(wheel: bytes) -> dict[str, int]:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            return {each.filename: each.CRC for each in archive.infolist() if each.filename.startswith("undercroft/")}

    assert package(build().content) == package(reference)


def test_the_same_files_make_the_same_bytes() -> None:
    assert build() == build()


def test_every_file_is_in_the_record_with_its_hash() -> None:
    wheel = packed({"undercroft/__init__.py": b"content"}, {"METADATA": b"x"})

    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        record = archive.read(f"{INFO}/RECORD").decode().splitlines()
    assert record == [
        f"{INFO}/METADATA,sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE,1",
        "undercroft/__init__.py,sha256=7XACtDnprIRfIjV9giusFERzD722AW0-yUMil7nsn3M,7",
        f"{INFO}/RECORD,,",
    ]


def test_pip_installs_it_and_the_command_runs(tmp_path: Path) -> None:
    wheel = build()
    (tmp_path / wheel.name).write_bytes(wheel.content)
    pip = [sys.executable, "-I", "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(tmp_path / "to")]
    subprocess.run([*pip, str(tmp_path / wheel.name)], check=True, capture_output=True)

    shown = subprocess.check_output(
        [sys.executable, "-m", "undercroft", "--version"], cwd=tmp_path / "to", env={"PYTHONPATH": str(tmp_path / "to")}
    )
    assert shown.startswith(b"undercroft ")
