"""What a check has found."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong, or hardly meant so."""

    severity: Literal["error", "warning"]
    file: str
    """Relative to the folder that is checked."""
    where: str
    """`services.api.ports`, `Deployment/ai-api`, `line 7`."""
    text: str
    """What is wrong, and what to do."""


def error(file: str, where: str, text: str) -> Finding:
    """Something that will not work, or is not safe."""
    return Finding("error", file, where, text)


def warning(file: str, where: str, text: str) -> Finding:
    """Something that works, and that somebody will regret."""
    return Finding("warning", file, where, text)
