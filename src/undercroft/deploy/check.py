"""Everything that can be said about a folder of deployment files without deploying them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from undercroft.deploy.checks import (
    collector,
    compose,
    dockerfile,
    helm,
    kubernetes,
    managed,
    systemd,
    terraform,
    workflow,
)
from undercroft.deploy.checks.finding import Finding
from undercroft.deploy.checks.folder import Checked, read
from undercroft.deploy.checks.tools import ToolRun, Which, run_all, which
from undercroft.errors import InvalidRequest

OWN: Final[tuple[Callable[[Checked], Iterator[Finding]], ...]] = (
    dockerfile.check,
    compose.check,
    collector.check,
    kubernetes.check,
    helm.check,
    systemd.check,
    managed.check,
    terraform.check,
    workflow.check,
)
_KNOWN: Final = ("Dockerfile", systemd.ENDING, ".tf")
"""What is looked into besides YAML, by what stands in its name."""


class Report(msgspec.Struct, frozen=True):
    """What was found, by whom."""

    ok: bool
    findings: list[Finding]
    tools: list[ToolRun]


def check(folder: Path, *, find: Which = which) -> Report:
    """Raises InvalidRequest where there is nothing to check, and MissingExtra where YAML cannot be read."""
    checked, findings = read(folder)
    if not any(path in checked.objects or any(each in path for each in _KNOWN) for path in checked.texts):
        raise InvalidRequest(
            f"{folder} holds no Dockerfile, YAML, unit of systemd or file of Terraform;",
            hint="render something into it first.",
        )
    findings += [found for own in OWN for found in own(checked)]
    tools = run_all(checked, find=find)
    is_well = not any(found.severity == "error" for found in findings) and not any(
        each.status == "failed" for each in tools
    )
    return Report(is_well, sorted(findings, key=lambda found: (found.severity, found.file, found.where)), tools)
