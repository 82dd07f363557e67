"""Checks of Dockerfiles: what hadolint does not know about secrets, users and what is copied."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import Checked
from undercroft.deploy.checks.images import is_secret_in_clear, unpinned

_SECRET_ARGUMENT: Final = re.compile(r"(ARG|ENV)\s+(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>\S+)")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction with its line, continued lines in one."""

    line: int
    text: str

    @property
    def name(self) -> str:
        return self.text.split(None, 1)[0].upper()

    @property
    def rest(self) -> str:
        return self.text.partition(" ")[2].strip()


def instructions(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile in their order."""
    found: list[Instruction] = []
    parts: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        start = start if parts else number
        parts.append(stripped.removesuffix("\\").strip())
        if not stripped.endswith("\\"):
            found.append(Instruction(start, " ".join(parts)))
            parts = []
    return found


def check(checked: Checked) -> Iterator[Finding]:
    """Every file that is called Dockerfile, or begins so."""
    for file, text in checked.texts.items():
        if file.rpartition("/")[2].partition(".")[0] == "Dockerfile":
            yield from _dockerfile(file, instructions(text), checked)


def _dockerfile(file: str, found: list[Instruction], checked: Checked) -> Iterator[Finding]:
    stages = [position for position, each in enumerate(found) if each.name == "FROM"]
    if not stages:
        yield error(file, "", "has no FROM")
        return
    last = found[stages[-1] :]
    yield from _bases(file, found)
    users = [each for each in last if each.name == "USER"]
    if not users or users[-1].rest.partition(":")[0] in ("root", "0"):
        yield error(file, f"line {last[0].line}", "what it builds runs as root; write USER")
    if not any(each.name == "HEALTHCHECK" for each in last):
        yield warning(
            file, f"line {last[0].line}", "has no HEALTHCHECK: Docker cannot tell a hung server from a well one"
        )
    for each in found:
        yield from _instruction(file, each, checked, is_last=each in last, has_user=bool(users))


def _bases(file: str, found: list[Instruction]) -> Iterator[Finding]:
    defaults = dict(each.rest.split("=", 1) for each in found if each.name == "ARG" and "=" in each.rest)
    names: set[str] = set()
    for each in found:
        if each.name != "FROM":
            continue
        words = [word for word in each.rest.split() if not word.startswith("--")]
        image = re.sub(r"\$\{?(\w+)\}?", lambda name: defaults.get(name[1], name[0]), words[0])
        if image not in (*names, "scratch") and (reason := unpinned(image)):
            yield error(file, f"line {each.line}", f"{image} {reason}")
        if len(words) == 3:
            names.add(words[2])


def _instruction(file: str, each: Instruction, checked: Checked, *, is_last: bool, has_user: bool) -> Iterator[Finding]:
    where = f"line {each.line}"
    if each.name in ("COPY", "ADD"):
        words = [word for word in each.rest.split() if not word.startswith("--")]
        is_from_stage = "--from=" in each.rest
        folder = file.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        if (
            not is_from_stage
            and "." in words[:-1]
            and not _ignores_env(checked.texts.get(f"{prefix}.dockerignore", ""))
        ):
            yield error(
                file, where, "copies everything, .env and .git included; write .dockerignore, or name the files"
            )
        for source in words[:-1] if not is_from_stage else ():
            if not any(each in source for each in "*$") and not checked.has(prefix + source.removeprefix("./")):
                yield error(file, where, f"copies {source}, which is not there")
        if is_last and has_user and "/root/" in each.rest:
            yield error(file, where, "puts into the image what lies below /root, which its user may not read; use /opt")
    found = _SECRET_ARGUMENT.match(each.text)
    if found and is_secret_in_clear(found["name"], found["value"]):
        yield error(file, where, f"{found['name']} is a secret, and every layer keeps it; give it when it runs")


def _ignores_env(text: str) -> bool:
    lines = {line.strip() for line in text.splitlines()}
    return bool(lines & {"*", ".env", ".env*", "**/.env"})
