"""The state on disk is whole, or it is refused with the reason."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from undercroft.hosting.statefile import FORMER, NAME, StateUnusable, load, save
from undercroft.hosting.types import Process, State, Version

STATE = State(host="127.0.0.1", port=8000, lanes=20, directory="/srv", active="v1").put(
    Version(name="v1", python="/usr/bin/python3", process=Process(pid=4, born=1234, boot="b"))
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert load(tmp_path) is None

    save(tmp_path, STATE)

    assert load(tmp_path) == STATE
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    save(tmp_path, STATE)
    save(tmp_path, replace(STATE, active="v2"))

    (tmp_path / FORMER).replace(tmp_path / NAME)

    assert load(tmp_path) == STATE


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_one_that_was_cut_is_refused_wherever_it_was_cut(tmp_path: Path, share: float) -> None:
    save(tmp_path, STATE)
    text = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(text[: int(len(text) * share)])

    with pytest.raises(StateUnusable, match=r"cannot be used: it is cut short.*versions that run go on.*type: cp"):
        load(tmp_path)


def test_one_that_was_edited_is_refused(tmp_path: Path) -> None:
    save(tmp_path, STATE)
    text = (tmp_path / NAME).read_text()
    (tmp_path / NAME).write_text(text.replace("8000", "8001"))

    with pytest.raises(StateUnusable, match="does not fit its checksum"):
        load(tmp_path)


def test_one_of_another_format_is_refused(tmp_path: Path) -> None:
    save(tmp_path, STATE)
    text = (tmp_path / NAME).read_text()
    (tmp_path / NAME).write_text(text.replace('"format":1', '"format":2'))

    with pytest.raises(StateUnusable, match="has format 2"):
        load(tmp_path)
