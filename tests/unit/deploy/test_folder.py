"""Bundles on their way into a folder: nothing is half written, nothing of somebody else is lost."""

import json
from pathlib import Path

import pytest

from undercroft.deploy.folder import MANIFEST, OnEdited, changes, look, write
from undercroft.errors import Conflict, InvalidRequest

FIRST = {"a.yaml": b"one\n", "base/b.yaml": b"two\n"}


def render(folder: Path, files: dict[str, bytes], *, target: str = "t", on_edited: OnEdited = "refuse") -> list[str]:
    """What a command does; returns each path with its kind of change."""
    found = look(folder, target, files)
    planned = changes(target, files, found)
    write(folder, target, planned, found, on_edited=on_edited)
    return [f"{change.path} {change.kind}" for change in planned]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def test_a_new_folder_is_filled(tmp_path: Path) -> None:
    assert render(tmp_path / "new", FIRST) == ["a.yaml new", "base/b.yaml new"]
    assert files_of(tmp_path / "new") == FIRST


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    render(tmp_path, FIRST)
    manifest = (tmp_path / MANIFEST).read_bytes()

    assert render(tmp_path, FIRST) == ["a.yaml unchanged", "base/b.yaml unchanged"]
    assert (tmp_path / MANIFEST).read_bytes() == manifest


def test_another_topology_changes_and_removes_what_is_ours(tmp_path: Path) -> None:
    render(tmp_path, FIRST)

    assert render(tmp_path, {"a.yaml": b"other\n"}) == ["a.yaml changed", "base/b.yaml removed"]
    assert files_of(tmp_path) == {"a.yaml": b"other\n"}


def test_a_file_edited_by_hand_stops_everything(tmp_path: Path) -> None:
    render(tmp_path, FIRST)
    (tmp_path / "a.yaml").write_bytes(b"mine\n")
    before = files_of(tmp_path)

    with pytest.raises(Conflict, match=r"a\.yaml in .*: edited by hand"):
        render(tmp_path, {"a.yaml": b"other\n", "base/b.yaml": b"other\n", "c": b"new\n"})

    assert files_of(tmp_path) == before


def test_a_file_that_was_there_before_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"mine\n")

    with pytest.raises(Conflict):
        render(tmp_path, FIRST)

    assert files_of(tmp_path) == {"a.yaml": b"mine\n"}


def test_an_edited_file_that_is_no_longer_rendered_is_not_deleted_silently(tmp_path: Path) -> None:
    render(tmp_path, FIRST)
    (tmp_path / "base/b.yaml").write_bytes(b"mine\n")

    with pytest.raises(Conflict, match=r"base/b\.yaml"):
        render(tmp_path, {"a.yaml": b"one\n"})
    render(tmp_path, {"a.yaml": b"one\n"}, on_edited="keep")

    assert files_of(tmp_path)["base/b.yaml"] == b"mine\n"


def test_kept_files_stay_edited_and_the_others_follow(tmp_path: Path) -> None:
    render(tmp_path, FIRST)
    (tmp_path / "a.yaml").write_bytes(b"mine\n")
    second = {"a.yaml": b"other\n", "base/b.yaml": b"other\n"}

    assert render(tmp_path, second, on_edited="keep") == ["a.yaml edited", "base/b.yaml changed"]
    assert files_of(tmp_path) == {"a.yaml": b"mine\n", "base/b.yaml": b"other\n"}
    with pytest.raises(Conflict):
        render(tmp_path, second)


def test_overwriting_is_possible_when_it_is_asked_for(tmp_path: Path) -> None:
    render(tmp_path, FIRST)
    (tmp_path / "a.yaml").write_bytes(b"mine\n")
    render(tmp_path, FIRST, on_edited="overwrite")

    assert files_of(tmp_path) == FIRST


def test_two_targets_share_a_folder(tmp_path: Path) -> None:
    render(tmp_path, FIRST, target="one")
    render(tmp_path, {"a.yaml": b"one\n", "c": b"c\n"}, target="two")
    render(tmp_path, {"c": b"c\n"}, target="two")

    assert files_of(tmp_path) == {**FIRST, "c": b"c\n"}


def test_a_folder_that_cannot_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    render(tmp_path, FIRST)
    (tmp_path / "z").write_bytes(b"a file, where a folder is needed")
    before = files_of(tmp_path)

    with pytest.raises(InvalidRequest, match="cannot"):
        render(tmp_path, {"a.yaml": b"other\n", "z/file": b"new\n"})

    assert files_of(tmp_path) == before


def test_a_manifest_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{]")

    with pytest.raises(InvalidRequest, match=r"is not what `undercroft deploy render` has written .* delete it"):
        render(tmp_path, FIRST)


def test_the_manifest_says_what_it_is_and_holds_hashes(tmp_path: Path) -> None:
    render(tmp_path, {"a": b""} | FIRST)
    manifest = json.loads((tmp_path / MANIFEST).read_text())

    assert manifest["about"].startswith("Made by `undercroft deploy render`")
    assert manifest["targets"]["t"]["a.yaml"].startswith(
        "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806"
    )


def test_the_difference_is_shown_as_diff_does(tmp_path: Path) -> None:
    render(tmp_path, FIRST)
    second = {**FIRST, "a.yaml": b"other\n"}
    (changed,) = [each for each in changes("t", second, look(tmp_path, "t", second)) if each.kind != "unchanged"]

    assert list(changed.diff()) == [
        "--- a.yaml (there)",
        "+++ a.yaml (rendered)",
        "@@ -1 +1 @@",
        "-one",
        "+other",
    ]


def test_a_difference_between_bytes_is_told_by_their_number(tmp_path: Path) -> None:
    (change,) = changes("t", {"w.whl": b"\xff\xfe"}, look(tmp_path, "t", {"w.whl": b""}))

    assert list(change.diff()) == ["w.whl: 0 bytes become 2"]
