"""`undercroft doctor` as people call it."""

import json
import os
import stat
from pathlib import Path

import pytest

from undercroft.cli.main import main
from undercroft.settings.variables import PLAIN, PLAIN_SECRETS, PROVIDER_KEYS


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder and an environment of its own, and a free port."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("UNDERCROFT_") or name in (*PLAIN, *PLAIN_SECRETS, *PROVIDER_KEYS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PORT", "0")


def test_each_finding_is_a_line_and_a_failed_one_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").write_text("")
    Path("undercroft.toml").write_text('data_dir = "data/inner"\n')
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "ok       settings        nothing wrong with them" in lines
    assert any(line.startswith("failed   data directory  ") and "UNDERCROFT_DATA_DIR" in line for line in lines)


def test_wrong_settings_are_findings_and_end_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("undercroft.toml").write_text("[server]\nprot = 1\n")
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "checks": [
            {
                "name": "settings",
                "status": "failed",
                "detail": "undercroft.toml:2: server.prot is not a setting; did you mean 'server.port'?",
                "advice": "",
            }
        ],
    }


def test_the_report_holds_settings_and_versions_but_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2-hunter2")
    monkeypatch.setenv("HOME", str(Path.cwd()))
    main(["doctor", "--report", "report.json"])
    assert "wrote report.json" in capsys.readouterr().err
    text = Path("report.json").read_text()
    report = json.loads(text)
    assert {"undercroft", "python", "platform", "checks", "settings", "packages"} == set(report)
    assert {"setting": "data_dir", "value": "~/.undercroft", "source": "default"} in report["settings"]
    assert "hunter2" not in text
    assert stat.S_IMODE(Path("report.json").stat().st_mode) == 0o600


def test_a_report_that_cannot_be_written_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--report", "nowhere/report.json"]) == 2
    assert "undercroft: cannot write nowhere/report.json: No such file or directory" in capsys.readouterr().err
