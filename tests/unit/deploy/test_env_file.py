"""`.env`: random, for the owner alone, and made once."""

import base64
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from undercroft.deploy.bundle import GeneratedSecret
from undercroft.deploy.env_file import text, write_once
from undercroft.errors import InvalidRequest
from undercroft.settings import dotenv

SECRETS = (
    GeneratedSecret("UNDERCROFT_MASTER_KEY", "token", "Opens every door."),
    GeneratedSecret("ENCRYPTION_KEY", "fernet", "Encrypts."),
)


def counting() -> Callable[[int], bytes]:
    """Random bytes that are not."""
    made = iter(range(1, 200))
    return lambda size: bytes([next(made)]) * size


def test_each_secret_has_a_value_of_its_own_and_its_form() -> None:
    entries, odd = dotenv.parse(text(SECRETS, random_bytes=counting()))
    values = {entry.name: entry.value for entry in entries}

    assert odd == []
    assert base64.urlsafe_b64decode(values["ENCRYPTION_KEY"]) == b"\x02" * 32
    assert len(values["UNDERCROFT_MASTER_KEY"]) == 43
    assert values["UNDERCROFT_MASTER_KEY"].isascii()


def test_it_is_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"

    assert write_once(path, SECRETS, random_bytes=counting()) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    write_once(path, SECRETS, random_bytes=counting())
    before = path.read_bytes()

    assert write_once(path, SECRETS, random_bytes=lambda size: b"\xff" * size) == []
    assert path.read_bytes() == before


def test_what_an_older_one_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("ENCRYPTION_KEY=\nUNDERCROFT_MASTER_KEY=mine\n")

    assert write_once(path, SECRETS, random_bytes=counting()) == ["ENCRYPTION_KEY"]
    assert path.read_text() == "ENCRYPTION_KEY=\nUNDERCROFT_MASTER_KEY=mine\n"


def test_where_it_cannot_be_written_the_line_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot write .*nowhere/\.env: No such file"):
        write_once(tmp_path / "nowhere" / ".env", SECRETS, random_bytes=counting())
