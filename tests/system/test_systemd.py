"""The rendered units in systemd's own programs: nothing is started, everything is read."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import debian
from tests.support.deploy import described, rendered
from undercroft.deploy.checks.folder import read
from undercroft.deploy.checks.tools import run_all

pytestmark = pytest.mark.system

MOST_EXPOSED = 2.0
"""Of ten, as `systemd-analyze security` counts; without any hardening a service comes to 9 and more."""
UNITS = ("ai-api.service", "ai-api-worker.service", "ai-api-migrate.service")


@pytest.fixture(scope="module")
def systemd() -> Path:
    """The folder of systemd's programs. Installing the package starts nothing: the machine has booted without it."""
    if not debian.installed("systemd-analyze", package="systemd"):
        pytest.skip("not run: systemd-analyze is not here, and Debian's package cannot be installed")
    return Path(str(shutil.which("systemd-analyze"))).parent


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("units")
    for path, text in rendered("systemd", described(folder, "[telemetry]\n")).items():
        (folder / path).write_text(text)
    return folder


def ran(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_units_are_verified_by_deploy_check(systemd: Path, units: Path) -> None:
    runs = {each.tool: each for each in run_all(read(units)[0], find=lambda name: str(systemd / name))}

    assert runs["systemd-analyze verify"].status == "ok", runs


def test_a_word_that_systemd_does_not_know_is_found(systemd: Path, units: Path, tmp_path: Path) -> None:
    for name in UNITS:
        (tmp_path / name).write_text((units / name).read_text().replace("ProtectHome=", "ProtectHoome="))
    runs = {each.tool: each for each in run_all(read(tmp_path)[0], find=lambda name: str(systemd / name))}

    assert "ProtectHoome" in runs["systemd-analyze verify"].detail


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_exposed_as_little_as_it_says(unit: str, systemd: Path, units: Path) -> None:
    told = ran(systemd / "systemd-analyze", "security", "--offline=true", "--no-pager", str(units / unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)

    assert found is not None, told
    print(f"\n{unit}: exposed {found[1]} of 10")
    assert float(found[1]) <= MOST_EXPOSED, told.stdout


def test_the_user_is_made_by_systemd(systemd: Path, units: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = ran(systemd / "systemd-sysusers", f"--root={tmp_path}", str(units / "ai-api.sysusers.conf"))

    assert made.returncode == 0, made.stderr
    assert re.search(r"^ai-api:.*:/var/lib/ai-api:", (tmp_path / "etc" / "passwd").read_text(), re.MULTILINE)
