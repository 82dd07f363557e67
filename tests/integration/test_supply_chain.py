"""What is installed is what was locked, what is shipped is what is here, and both are listed."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from tests.docs.conftest import module_of
from tests.support.checkout import ROOT

LOCKS = sorted(path for path in (ROOT / "requirements").glob("*.txt") if path.name != "constraints.txt")
KNOWN_BAD = {
    "starlette": "1.0.1",  # Host headers that change the path which is checked
    "h11": "0.16",  # chunked bodies that are read leniently
    "cryptography": "44.0.1",
    "jinja2": "3.1.6",
    "urllib3": "2.5",
    "requests": "2.32.4",
}
"""The first release without a fault that became known. A lock may hold nothing older."""


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_of_a_lock_has_one_version_and_its_hashes(lock: Path) -> None:
    text = lock.read_text("utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
    assert len(entries) >= 1
    for entry in entries:
        if entry.startswith(("#", "--")):
            assert not entry.startswith(("--index", "--extra-index", "--find-links", "--trusted-host")), entry
            continue
        assert re.match(r"[A-Za-z0-9._-]+(\[[^]]*\])?==\S+", entry), entry
        hashes = re.findall(r"--hash=(\w+):([0-9a-f]+)", entry)
        assert hashes, entry
        assert {(name, len(digest)) for name, digest in hashes} == {("sha256", 64)}, entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_holds_a_release_with_a_known_fault(lock: Path) -> None:
    for name, version, _ in module_of("scripts/sbom.py").locked(lock.read_text("utf-8")):
        if name in KNOWN_BAD:
            assert Version(version) >= Version(KNOWN_BAD[name]), (name, version)


def test_the_list_of_parts_is_that_of_the_lock() -> None:
    sbom = module_of("scripts/sbom.py")
    assert sbom.SBOM.read_text("utf-8") == sbom.written(sbom.LOCK.read_text("utf-8")), "type: python scripts/sbom.py"
    shown = json.loads(sbom.SBOM.read_text("utf-8"))
    assert len(shown["components"]) == len(sbom.locked(sbom.LOCK.read_text("utf-8"))) > 20
    assert all(part["externalReferences"][0]["hashes"] for part in shown["components"])


def test_the_list_of_parts_is_cyclonedx() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    sbom = module_of("scripts/sbom.py")
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.SBOM.read_text("utf-8"))
    assert fault is None, fault


def test_a_wheel_holds_this_package_alone_and_two_are_the_same(tmp_path: Path) -> None:
    made: list[Path] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
        subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
        made += folder.glob("*.whl")
    first, second = (path.read_bytes() for path in made)
    assert first == second
    with zipfile.ZipFile(made[0]) as wheel:
        names = wheel.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert all(top == "undercroft" or re.fullmatch(r"undercroft-[0-9.]+\.dist-info", top) for top in tops), tops
    assert not [name for name in names if name.endswith((".pth", ".so", ".pyc", ".egg-link"))]
    assert any(name.endswith("/sboms/sbom.cdx.json") for name in names)
    committed = {
        path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "undercroft").rglob("*") if path.is_file()
    }
    assert {name for name in names if name.startswith("undercroft/")} <= committed
