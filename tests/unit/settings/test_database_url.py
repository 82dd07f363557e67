"""Every form that people write comes out as one."""

from pathlib import Path

import pytest

from undercroft.settings.database_url import normalise

HERE = Path("/srv/app")


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h:5433/d?sslmode=require", "postgresql+psycopg://u:p@h:5433/d?sslmode=require"),
        ("postgresql+psycopg:///d", "postgresql+psycopg:///d"),
        (" postgresql://h/d\n", "postgresql+psycopg://h/d"),
        ("sqlite:///data/my file.db", "sqlite:////srv/app/data/my file.db"),
        ("sqlite:////var/lib/u.db", "sqlite:////var/lib/u.db"),
        ("sqlite://", None),
    ],
)
def test_a_known_form_is_brought_to_one(written: str, normal: str | None) -> None:
    assert normalise(written, directory=HERE) == normal


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("mysql://u:hunter2@h/d", "names 'mysql'"),
        ("postgrsql://u:hunter2@h/d", "did you mean 'postgresql'?"),
        ("hunter2", "is no address"),
        ("postgres://u:hunter2#x@h:port/d", "%23"),
        ("postgres://u:p@h:99999/d", "no readable host and port"),
        ("sqlite://data.db", "sqlite:///data.db"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///x.db?mode=ro", "names no file"),
    ],
)
def test_another_form_is_refused_without_showing_what_may_be_secret(written: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        normalise(written, directory=HERE)
    assert reason in str(refused.value)
    assert "hunter2" not in str(refused.value)
