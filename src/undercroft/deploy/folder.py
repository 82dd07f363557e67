"""A bundle on its way into a folder: what would change, and never over what somebody has edited.

A manifest in the folder knows the hash of every file as it was written. A file that is neither what it was then nor
what it would become was edited by hand, or is somebody else's.
"""

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from undercroft.errors import Conflict, InvalidRequest

MANIFEST: Final = ".undercroft-deploy.json"
Kind = Literal["new", "changed", "unchanged", "edited", "removed"]
OnEdited = Literal["refuse", "keep", "overwrite"]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Per target, the sha256 of each file as it was written."""

    about: str = (
        "Made by `undercroft deploy render`, which tells by it which files were edited since. It belongs in git."
    )
    targets: dict[str, dict[str, str]] = {}

    def hashes(self, path: str) -> set[str]:
        return {files[path] for files in self.targets.values() if path in files}


@dataclass(frozen=True, slots=True)
class Change:
    """One file; `edited` stands for one whose content is neither ours of before nor ours of now."""

    path: str
    kind: Kind
    before: bytes = b""
    after: bytes = b""

    def diff(self) -> Iterator[str]:
        """As `diff -u` would show it."""
        try:
            before, after = self.before.decode().splitlines(), self.after.decode().splitlines()
        except UnicodeDecodeError:
            yield f"{self.path}: {len(self.before)} bytes become {len(self.after)}"
            return
        yield from difflib.unified_diff(before, after, f"{self.path} (there)", f"{self.path} (rendered)", lineterm="")


@dataclass(frozen=True, slots=True)
class Found:
    """A folder as it is."""

    manifest: Manifest
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Content of those paths that were asked for and exist."""


def changes(target: str, files: Mapping[str, bytes], found: Found) -> list[Change]:
    """What writing these files would do, in the order of their paths."""
    result = [_change(path, after, found) for path, after in files.items()]
    others = {path for name, paths in found.manifest.targets.items() if name != target for path in paths}
    for path in found.manifest.targets.get(target, {}):
        if path not in files and path not in others and path in found.files:
            before = found.files[path]
            kind: Kind = "removed" if _sha256(before) in found.manifest.hashes(path) else "edited"
            result.append(Change(path, kind, before))
    return sorted(result, key=lambda change: change.path)


def _change(path: str, after: bytes, found: Found) -> Change:
    before = found.files.get(path)
    if before is None:
        return Change(path, "new", b"", after)
    if before == after:
        return Change(path, "unchanged", before, after)
    is_ours = _sha256(before) in found.manifest.hashes(path)
    return Change(path, "changed" if is_ours else "edited", before, after)


def look(folder: Path, target: str, paths: Mapping[str, bytes]) -> Found:
    """Reads the manifest and what stands where files would go. Raises InvalidRequest."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest) if path.exists() else Manifest()
        wanted = {*paths, *manifest.targets.get(target, ())}
        return Found(manifest, {each: (folder / each).read_bytes() for each in wanted if (folder / each).exists()})
    except OSError as error:
        raise InvalidRequest(f"cannot read {error.filename}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise InvalidRequest(
            f"{path} is not what `undercroft deploy render` has written ({error});", hint="delete it, or restore it."
        ) from error


def refuse_edited(folder: Path, target: str, planned: list[Change]) -> None:
    """Raises Conflict where files were edited."""
    edited = [change.path for change in planned if change.kind == "edited"]
    if edited:
        raise Conflict(
            f"{', '.join(edited)} in {folder}: edited by hand, or not made by `undercroft deploy render {target}`;",
            hint="--diff shows the difference, --edited keep leaves them alone, --edited overwrite replaces them.",
        )


def write(folder: Path, target: str, planned: list[Change], found: Found, *, on_edited: OnEdited) -> None:
    """Writes all of it or nothing. Raises Conflict where files were edited, InvalidRequest where it cannot write."""
    if on_edited == "refuse":
        refuse_edited(folder, target, planned)
    skipped = {change.path for change in planned if change.kind == "edited"} if on_edited == "keep" else set()
    written = [each for each in planned if each.after and each.kind != "unchanged" and each.path not in skipped]
    hashes = {each.path: _sha256(each.after) for each in planned if each.after and each.path not in skipped}
    kept = {path: old for path, old in found.manifest.targets.get(target, {}).items() if path in skipped}
    targets = {**found.manifest.targets, target: dict(sorted({**hashes, **kept}.items()))}
    manifest = msgspec.json.format(msgspec.json.encode(Manifest(targets=dict(sorted(targets.items())))), indent=2)
    contents = {each.path: each.after for each in written} | {MANIFEST: manifest + b"\n"}
    fresh: dict[str, Path] = {}
    try:
        for path, content in contents.items():
            new = folder / f"{path}.undercroft-new"
            new.parent.mkdir(parents=True, exist_ok=True)
            fresh[path] = new
            new.write_bytes(content)
        for path, new in fresh.items():
            new.replace(folder / path)
        for change in planned:
            if not change.after and change.path not in skipped:
                (folder / change.path).unlink(missing_ok=True)
    except OSError as error:
        for new in fresh.values():
            new.unlink(missing_ok=True)
        raise InvalidRequest(f"cannot write {error.filename}: {error.strerror}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
