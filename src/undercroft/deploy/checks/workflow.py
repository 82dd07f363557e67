"""Checks of GitHub's workflows: what refers to nothing, and what is not safe."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import Checked
from undercroft.deploy.checks.images import is_secret_in_clear

FOLDER: Final = ".github/workflows/"
_COMMIT: Final = re.compile(r"@[0-9a-f]{40}$")
_STEP: Final = re.compile(r"\bsteps\.([A-Za-z0-9_-]+)\.")


class Step(msgspec.Struct, frozen=True, rename={"condition": "if", "given": "with"}):
    id: str = ""
    name: str = ""
    uses: str = ""
    run: str = ""
    condition: str | bool = ""
    given: dict[str, Any] = {}
    env: dict[str, Any] = {}


class Job(msgspec.Struct, frozen=True, rename="kebab"):
    steps: list[Step] = []
    needs: str | list[str] = []
    timeout_minutes: int | None = None
    permissions: Any = None
    env: dict[str, Any] = {}


class Workflow(msgspec.Struct, frozen=True):
    jobs: dict[str, Job]
    permissions: Any = None
    env: dict[str, Any] = {}


def workflows(checked: Checked) -> list[str]:
    """Their paths."""
    return [path for path in checked.objects if path.startswith(FOLDER)]


def check(checked: Checked) -> Iterator[Finding]:
    """Every workflow of the repository that this folder is."""
    for path in workflows(checked):
        for tree in checked.objects[path]:
            try:
                workflow = msgspec.convert(_named(tree), Workflow)
            except msgspec.ValidationError as problem:
                yield error(path, "", f"is no workflow: {problem}")
                continue
            for name, job in workflow.jobs.items():
                yield from _job(path, name, job, workflow)


def _named(tree: Any) -> Any:
    """With names for keys alone: YAML 1.1 reads a bare `on` as true."""
    return {key: each for key, each in tree.items() if isinstance(key, str)} if isinstance(tree, dict) else tree


def _job(path: str, name: str, job: Job, workflow: Workflow) -> Iterator[Finding]:
    where = f"jobs.{name}"
    for other in [job.needs] if isinstance(job.needs, str) else job.needs:
        if other not in workflow.jobs:
            yield error(path, f"{where}.needs", f"there is no job {other!r}")
    if job.permissions is None and workflow.permissions is None:
        yield warning(path, where, "may do with the repository what the default allows; write permissions")
    if job.timeout_minutes is None:
        yield warning(path, where, "may hang for six hours; write timeout-minutes")
    seen: set[str] = set()
    for number, step in enumerate(job.steps):
        at = f"{where}.steps[{number}]"
        if bool(step.uses) == bool(step.run):
            yield error(path, at, "has neither uses nor run, or both")
        if step.uses and not step.uses.startswith("./") and not _COMMIT.search(step.uses):
            yield error(path, at, f"uses {step.uses}, which is other code when its owner says so; pin it by commit")
        told = " ".join((str(step.condition), step.run, *map(str, step.given.values()), *map(str, step.env.values())))
        for other in sorted({*_STEP.findall(told)} - seen):
            yield error(path, at, f"refers to step {other!r}, and no step before it has that id")
        if "${{ github.event" in step.run:
            yield error(path, at, "puts what a stranger may have written into a shell; pass it by env")
        seen |= {step.id}
        yield from _secrets(path, at, step.env)
    yield from _secrets(path, where, {**workflow.env, **job.env})


def _secrets(path: str, where: str, env: dict[str, Any]) -> Iterator[Finding]:
    for name, value in env.items():
        if is_secret_in_clear(name, "" if "${{" in str(value) else str(value)):
            yield error(path, f"{where}.env.{name}", "holds a secret in clear text; write ${{ secrets.NAME }}")
