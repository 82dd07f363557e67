"""The folder that is checked, read once: texts by path, and the objects in those that are YAML."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from undercroft.deploy.checks.finding import Finding, error
from undercroft.errors import InvalidRequest, MissingExtra

LARGEST_BYTES: Final = 1_000_000
CHART: Final = "Chart.yaml"
_LEFT_OUT: Final = ("vendor", ".git", ".venv", "venv", "node_modules", "__pycache__")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a folder holds. `objects` are the documents of each YAML file, as they were read."""

    root: Path
    texts: Mapping[str, str]
    objects: Mapping[str, Sequence[Any]]

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return (self.root / path).exists()


def is_template(path: str, paths: Container[str]) -> bool:
    """Whether it lies among a Helm chart's templates: it becomes YAML when Helm has rendered it."""
    folder, separator, _ = f"/{path}".rpartition("/templates/")
    return bool(separator) and f"{folder}/{CHART}".removeprefix("/") in paths


def read(root: Path) -> tuple[Checked, list[Finding]]:
    """Raises InvalidRequest where there is no folder, and MissingExtra where YAML cannot be read."""
    try:
        import yaml
    except ImportError as missing:
        raise MissingExtra("undercroft deploy check", extra="deploy") from missing
    if not root.is_dir():
        raise InvalidRequest(f"{root} is no folder;", hint="name one that `undercroft deploy render` has written.")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    texts: dict[str, str] = {}
    objects: dict[str, list[Any]] = {}
    findings: list[Finding] = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or set(path.relative_to(root).parts[:-1]) & {*_LEFT_OUT}:
            continue
        if path.stat().st_size > LARGEST_BYTES or path.suffix in (".whl", ".zip", ".gz", ".png"):
            continue
        try:
            texts[name] = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if path.suffix in (".yaml", ".yml") and not is_template(name, texts):
            try:
                objects[name] = [each for each in yaml.load_all(texts[name], loader) if each is not None]
            except yaml.YAMLError as problem:
                mark = getattr(problem, "problem_mark", None)
                where = f"line {mark.line + 1}" if mark else ""
                findings.append(error(name, where, f"not YAML: {getattr(problem, 'problem', problem)}"))
    return Checked(root, texts, objects), findings
