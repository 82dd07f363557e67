"""The report as a whole."""

from pathlib import Path

import pytest

from undercroft.deploy.check import check
from undercroft.errors import InvalidRequest


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_where_there_is_nothing_to_check_it_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(InvalidRequest, match=r"is no folder|holds no Dockerfile"):
        check(tmp_path / name)


def test_errors_come_before_warnings(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("version: 3\nservices: {a: {image: x}}\n")
    report = check(tmp_path, find=lambda name: None)

    assert not report.ok
    severities = [found.severity for found in report.findings]
    assert severities == sorted(severities)


def test_what_is_no_text_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a:1\nUSER 1\nHEALTHCHECK CMD true\n")
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00")

    assert check(tmp_path, find=lambda name: None).ok
