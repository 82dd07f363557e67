"""Checks of an OpenTelemetry collector's file: pipelines of parts that are there."""

from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import Checked

PARTS: Final = ("receivers", "processors", "exporters")


def check(checked: Checked) -> Iterator[Finding]:
    """Every YAML file that has a collector's sections."""
    for file, objects in checked.objects.items():
        for value in objects:
            if isinstance(value, dict) and {"receivers", "exporters", "service"} <= value.keys():
                yield from _pipelines(file, value)


def _pipelines(file: str, value: dict[str, Any]) -> Iterator[Finding]:
    used: dict[str, set[str]] = {part: set() for part in PARTS}
    for name, pipeline in (value["service"].get("pipelines") or {}).items():
        for part in PARTS:
            for each in pipeline.get(part) or ():
                used[part].add(each)
                if each not in (value.get(part) or {}):
                    yield error(file, f"service.pipelines.{name}", f"there is no {each!r} under {part}")
    for part in PARTS:
        for each in sorted({*(value.get(part) or {})} - used[part]):
            yield warning(file, f"{part}.{each}", "is in no pipeline")
