"""What is said about units that somebody has edited."""

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker

UNIT = "ai-api.service"


def test_what_we_render_has_nothing_wrong_with_it(checked: Checker) -> None:
    assert checked("systemd").findings == []


@pytest.mark.parametrize(
    ("change", "severity", "text"),
    [
        ((UNIT, "User=ai-api", "User=root"), "error", "is root"),
        ((UNIT, "User=ai-api\n", ""), "error", "is root"),
        ((UNIT, "ExecStart=", "ExecStrat="), "error", "it starts nothing"),
        ((UNIT, "ai-api-migrate.service", "ai-migrate.service"), "error", "there is no ai-migrate.service"),
        ((UNIT, "Environment=PYTHON", "Environment=API_KEY=sk-1\nEnvironment=PYTHON"), "error", "every user can read"),
        ((UNIT, "NoNewPrivileges=yes", "NoNewPrivileges=no"), "warning", "nothing it starts gains rights"),
        ((UNIT, "Restart=always", "Restart=no"), "warning", "does not come back"),
    ],
)
def test_what_is_wrong_is_said(checked: Checker, change: Change, severity: str, text: str) -> None:
    found = [each for each in checked("systemd", change).findings if text in each.text]

    assert [(each.severity, each.file) for each in found] == [(severity, UNIT)]
