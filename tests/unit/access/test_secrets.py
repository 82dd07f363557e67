"""Secrets come back under every key that there was, and nobody is left to guess why one does not."""

import re
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

import undercroft
from undercroft.access.secrets import SecretBox, key_in_file
from undercroft.errors import ConfigurationError, UnreadableSecret
from undercroft.settings.encryption import ENCRYPTION_KEY_LINE, encryption_keys

OLD = "c3VwcGx5IHNvbWUgMzIgYnl0ZXMgb2YgZW50cm9weSE="
NEW = "YW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMgb2Ygbm9pc2U="


def test_a_key_is_read_on_each_call_and_tokens_are_plain_fernet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", OLD)
    token = undercroft.encrypt_api_key("sk-ä")
    assert Fernet(OLD).decrypt(token).decode() == "sk-ä"

    monkeypatch.setenv("ENCRYPTION_KEY", f"{NEW}, {OLD}")
    assert undercroft.decrypt_api_key(token) == "sk-ä"
    assert Fernet(NEW).decrypt(undercroft.encrypt_api_key("x")) == b"x"

    monkeypatch.setenv("ENCRYPTION_KEY", NEW)
    with pytest.raises(UnreadableSecret, match="ENCRYPTION_KEY"):
        undercroft.decrypt_api_key(token)


def test_a_key_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{OLD}\n")
    monkeypatch.delenv("ENCRYPTION_KEY", raising=False)
    monkeypatch.setenv("ENCRYPTION_KEY_FILE", str(file))
    assert undercroft.decrypt_api_key(undercroft.encrypt_api_key("sk")) == "sk"

    monkeypatch.setenv("ENCRYPTION_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY_FILE: cannot read"):
        undercroft.encrypt_api_key("sk")


@pytest.mark.parametrize("value", ["", "short", OLD[:-2], f"{OLD},", f"{OLD},x", OLD.replace(OLD[0], "!"), "ä" * 44])
def test_a_missing_or_malformed_key_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.delenv("ENCRYPTION_KEY_FILE", raising=False)
    monkeypatch.setenv("ENCRYPTION_KEY", value)
    for call in (undercroft.encrypt_api_key, undercroft.decrypt_api_key):
        with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY") as error:
            call("x")
        assert ENCRYPTION_KEY_LINE in str(error.value)
        assert not value or value not in str(error.value)


def test_the_line_that_we_tell_people_to_type_makes_a_key() -> None:
    made = subprocess.check_output(["sh", "-c", f"{ENCRYPTION_KEY_LINE}; echo $ENCRYPTION_KEY"], text=True).strip()
    assert encryption_keys(made) == (made,)
    assert SecretBox([made]).open(SecretBox([made]).seal("x")) == "x"


@given(st.text(max_size=60))
def test_what_counts_as_a_key_here_is_one_for_fernet(text: str) -> None:
    try:
        keys = encryption_keys(text)
    except ValueError:
        return
    SecretBox(keys)


def test_a_box_refuses_keys_that_are_none() -> None:
    with pytest.raises(ConfigurationError, match="the file holds no Fernet key"):
        SecretBox(["x"], source="the file")


@given(st.text())
def test_a_damaged_token_is_never_opened(text: str) -> None:
    with pytest.raises(UnreadableSecret):
        SecretBox([OLD]).open(text)


def test_the_key_file_is_ours_alone_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "data" / "encryption.key"
    told: list[Path] = []
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(key_in_file(path, made=told.append))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert told == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["encryption.key"]
    assert re.fullmatch(r"[\w-]{43}=", found[0])


def test_a_key_file_that_cannot_be_used_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "encryption.key"
    path.write_text("")
    with pytest.raises(ConfigurationError, match="it is empty"):
        key_in_file(path)
    assert path.read_text() == ""


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        key_in_file(tmp_path / "file" / "encryption.key")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
