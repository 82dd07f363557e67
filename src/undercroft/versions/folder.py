"""Versions as files in git: `undercroft.d/prompts/greeting.yaml`, brought up to date in both directions.

`.synced.json` remembers what each file and the database had in common. Where only one side has moved since, the other
follows; where both have, nothing is done and the files are named: a merge is for people.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from undercroft.errors import Conflict, InvalidRequest, MissingExtra
from undercroft.versions.content import KINDS, Content, Kind, Version, digest_of
from undercroft.versions.reading import read_content

FOLDERS: Final[dict[Kind, str]] = {
    "model": "models",
    "prompt": "prompts",
    "retrieval": "retrieval",
    "guardrail": "guardrails",
}
SYNCED: Final = ".synced.json"
ENDINGS: Final = (".yaml", ".yml", ".json")
Change = Literal["stored", "written", "same"]
Key = tuple[Kind, str]


class Filed(msgspec.Struct, frozen=True, kw_only=True):
    """A file: a content and the labels that it is to have."""

    kind: Kind
    name: str
    content: Content
    labels: tuple[str, ...]
    path: Path

    @property
    def state(self) -> str:
        """What sync compares: content and labels."""
        return _state(digest_of(self.kind, self.content), self.labels)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about one name."""

    kind: Kind
    name: str
    change: Change
    filed: Filed | None = None
    version: Version | None = None


def read_folder(folder: Path) -> list[Filed]:
    """Every file of a folder. Raises InvalidRequest, which names the file that cannot be read."""
    return [
        _read(folder, path, kind)
        for kind in KINDS
        for path in sorted((folder / FOLDERS[kind]).rglob("*"))
        if path.suffix in ENDINGS
    ]


def plan(
    filed: Sequence[Filed], heads: Sequence[Version], synced: dict[str, str], *, folder: Path
) -> tuple[list[Step], list[str]]:
    """What to do so that both sides agree, and what is in conflict. `heads` is the newest version of each name."""
    files: dict[Key, Filed] = {(each.kind, each.name): each for each in filed}
    stored: dict[Key, Version] = {(each.kind, each.name): each for each in heads}
    steps, conflicts = [], []
    for key in sorted(files.keys() | stored.keys()):
        file, version = files.get(key), stored.get(key)
        base = synced.get("/".join(key))
        here = file.state if file else None
        there = _state(version.digest, version.labels) if version else None
        change: Change
        if here == there:
            change = "same"
        elif file is not None and (there is None or there == base):
            change = "stored"
        elif version is not None and (here is None or here == base):
            change = "written"
        else:
            conflicts.append(str(file.path.relative_to(folder)) if file else "/".join(key))
            continue
        steps.append(Step(kind=key[0], name=key[1], change=change, filed=file, version=version))
    return steps, conflicts


def sync(
    folder: Path, heads: Sequence[Version], *, store: Callable[[Filed], Version], only: Change | None = None
) -> list[Step]:
    """Brings both sides together: `store` keeps a file's content and labels in the database. `only` leaves the other
    direction out. Raises Conflict, with nothing changed, where both sides have moved."""
    synced = _read_synced(folder)
    filed = read_folder(folder)
    steps, conflicts = plan(filed, heads, synced, folder=folder)
    if conflicts:
        raise Conflict(
            f"Both the file and the database have changed since they were last the same: {', '.join(conflicts)}.",
            hint="Make the file what it is to be, delete its line in .synced.json, and push; or delete the file and "
            "pull.",
        )
    done = [step for step in steps if step.change == "same" or only in (None, step.change)]
    for step in done:
        if step.change == "stored" and step.filed is not None:
            version = store(step.filed)
            synced[f"{step.kind}/{step.name}"] = _state(version.digest, version.labels)
        elif step.version is not None:
            if step.change == "written":
                _write(folder, step.version, step.filed.path if step.filed else None)
            synced[f"{step.kind}/{step.name}"] = _state(step.version.digest, step.version.labels)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SYNCED).write_bytes(msgspec.json.format(msgspec.json.encode(synced, order="sorted")) + b"\n")
    return done


def heads_of(versions: Sequence[Version]) -> list[Version]:
    """The newest version of each name, out of all, newest first; with the labels that it has."""
    heads: dict[Key, Version] = {}
    for version in versions:
        heads.setdefault((version.kind, version.name), version)
    return list(heads.values())


def _state(digest: str, labels: Sequence[str]) -> str:
    return f"{digest} {','.join(sorted(labels))}".strip()


def _read_synced(folder: Path) -> dict[str, str]:
    file = folder / SYNCED
    if not file.exists():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.") from error


def _read(folder: Path, path: Path, kind: Kind) -> Filed:
    name = path.relative_to(folder / FOLDERS[kind]).with_suffix("").as_posix()
    value = read_file(path)
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} holds no {kind}: it is to be an object.")
    labels = value.pop("labels", [])
    if not isinstance(labels, list) or not all(isinstance(each, str) for each in labels):
        raise InvalidRequest(f"{path}: 'labels' is a list of texts.")
    try:
        content = read_content(kind, value)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}", param=error.param) from error
    return Filed(kind=kind, name=name, content=content, labels=tuple(sorted(labels)), path=path)


def read_file(path: Path) -> Any:
    """YAML or JSON, by the file's ending. Raises InvalidRequest with the file's name, and MissingExtra."""
    if path.suffix == ".json":
        try:
            return msgspec.json.decode(path.read_bytes())
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"{path} is no JSON: {error}.") from error
    yaml = _yaml()
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is no YAML: {' '.join(str(error).split())}.") from error


def _write(folder: Path, version: Version, path: Path | None) -> None:
    path = path or folder / FOLDERS[version.kind] / f"{version.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {"labels": sorted(version.labels), **msgspec.to_builtins(version.content)}
    if path.suffix == ".json":
        path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    else:
        path.write_text("".join(_dumped(value)), "utf-8")


def _dumped(value: dict[str, Any]) -> Iterator[str]:
    """YAML as people write it: texts of several lines as blocks, in the order of the fields."""
    yaml = _yaml()

    class Dumper(yaml.SafeDumper):  # type: ignore[misc, name-defined]  # yaml has no types here
        pass

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    yield yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("Reading YAML", extra="releases") from error
    return yaml
