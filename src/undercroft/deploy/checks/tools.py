"""The ecosystem's own validators, where they are installed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from undercroft.deploy.checks import kubernetes, systemd, workflow
from undercroft.deploy.checks.compose import NAMES
from undercroft.deploy.checks.folder import CHART, Checked

LIMIT_S: Final = 120
_VALIDATED: Final = kubernetes.VERSIONS.keys() - {"ScaledObject", "Rollout", "AnalysisTemplate"}
"""What Kubernetes itself has schemas for; the others come from those who extend it."""
KUBERNETES: Final = "1.33"
"""Whose schemas kubernetes-validate goes by."""


class ToolRun(msgspec.Struct, frozen=True):
    """What one tool said; `not run` says why."""

    tool: str
    status: Literal["ok", "failed", "not run"]
    detail: str = ""


Which = Callable[[str], str | None]


def which(name: str) -> str | None:
    """A program beside this Python, or on PATH."""
    own = Path(sys.executable).parent / name
    return str(own) if own.exists() else shutil.which(name)


def run_all(checked: Checked, *, find: Which = which) -> list[ToolRun]:
    """Those that have something to say about this folder."""
    runs: list[ToolRun] = []
    if any(name in checked.texts for name in NAMES):
        runs.append(_compose(checked, find))
    dockerfiles = [path for path in checked.texts if path.rpartition("/")[2].partition(".")[0] == "Dockerfile"]
    if dockerfiles:
        runs.append(_run("hadolint", "hadolint", dockerfiles, checked.root, find))
    kustomizations = [path for path in checked.objects if path.endswith("kustomization.yaml")]
    if kustomizations:
        kustomizations = [path for path in kustomizations if checked.objects[path][0].get("kind") != "Component"]
        manifests = [path for path in checked.objects if _is_manifest(path, checked)]
        validate = ["--strict", "--kubernetes-version", KUBERNETES, *manifests]
        runs.append(_run("kubernetes-validate", "kubernetes-validate", validate, checked.root, find))
        runs.append(_kustomize(kustomizations, checked.root, find))
    charts = [path.removesuffix(CHART) or "." for path in checked.texts if path.rpartition("/")[2] == CHART]
    runs += [_run("helm lint", "helm", ["lint", chart], checked.root, find) for chart in charts]
    if workflows := workflow.workflows(checked):
        runs.append(_run("actionlint", "actionlint", workflows, checked.root, find))
    if systemd.units(checked):
        runs.append(_units(checked, find))
    for path in (path for path in checked.texts if path.rpartition("/")[2] == "Caddyfile"):
        arguments = ["validate", "--adapter", "caddyfile", "--config", path]
        runs.append(_run("caddy validate", "caddy", arguments, checked.root, find))
    if any(path.endswith(".tf") for path in checked.texts):
        runs.append(_run("terraform fmt", "terraform", ["fmt", "-check", "-diff"], checked.root, find))
    return runs


def _units(checked: Checked, find: Which) -> ToolRun:
    """Verified as copies that start a program which is here: ours is only where they are installed."""
    name = "systemd-analyze verify"
    program = find("systemd-analyze")
    if program is None:
        return ToolRun(name, "not run", "systemd-analyze is not installed")
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for path in systemd.units(checked):
            copies.append(Path(folder, path.rpartition("/")[2]))
            copies[-1].write_text(
                re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", checked.texts[path], flags=re.MULTILINE)
            )
        # A word that it does not know is a warning to systemd, which then ignores the line.
        return _finished(name, [program, "verify", *map(str, copies)], Path(folder), complains_of=f"{folder}/")


def _is_manifest(path: str, checked: Checked) -> bool:
    kinds = [value.get("kind") for value in checked.objects[path] if isinstance(value, dict)]
    return bool(kinds) and path not in {*kubernetes.patches(checked)} and kinds[0] in _VALIDATED


def _compose(checked: Checked, find: Which) -> ToolRun:
    docker = find("docker")
    name = "docker compose config"
    if docker is None:
        return ToolRun(name, "not run", "docker is not installed")
    plugin = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)  # noqa: S603 - ours
    if plugin.returncode != 0:
        return ToolRun(name, "not run", "docker has no compose here")
    return _finished(name, [docker, "compose", "config", "--quiet"], checked.root)


def _kustomize(kustomizations: Sequence[str], root: Path, find: Which) -> ToolRun:
    program = find("kustomize")
    words = ["build"]
    if program is None and (program := find("kubectl")):
        words = ["kustomize"]
    if program is None:
        return ToolRun("kustomize", "not run", "neither kustomize nor kubectl is installed")
    for path in kustomizations:
        ended = _finished("kustomize", [program, *words, path.rpartition("/")[0]], root)
        if ended.status != "ok":
            return ended
    return ToolRun("kustomize", "ok")


def _run(name: str, program: str, arguments: Sequence[str], root: Path, find: Which) -> ToolRun:
    found = find(program)
    if found is None:
        return ToolRun(name, "not run", f"{program} is not installed")
    return _finished(name, [found, *arguments], root)


def _finished(name: str, command: Sequence[str], root: Path, *, complains_of: str = "") -> ToolRun:
    """Failed with an exit code, or where what it said has `complains_of` in it, which is then left out of it."""
    try:
        ended = subprocess.run(  # noqa: S603 - paths of the folder are arguments, no shell reads them
            command,
            cwd=root,
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return ToolRun(name, "failed", str(problem))
    said = (ended.stdout + ended.stderr).strip()
    if ended.returncode or (complains_of and complains_of in said):
        return ToolRun(name, "failed", said.replace(complains_of, "") if complains_of else said)
    return ToolRun(name, "ok")
