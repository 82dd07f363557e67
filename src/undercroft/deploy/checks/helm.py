"""Checks of a Helm chart: templates that ask for what is defined nowhere. Only Helm itself renders them."""

import re
from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import CHART, Checked, is_template

_VALUE: Final = re.compile(r"\.Values((?:\.[A-Za-z][A-Za-z0-9]*)+)")
_DEFINED: Final = re.compile(r"{{-?\s*define\s+\"([^\"]+)\"")
_INCLUDED: Final = re.compile(r"\binclude\s+\"([^\"]+)\"")
_ACTION: Final = re.compile(r"{{-?\s*(if|with|range|define|block|end)\b")


def check(checked: Checked) -> Iterator[Finding]:
    """Every chart in the folder."""
    for path in checked.texts:
        if path.rpartition("/")[2] == CHART:
            yield from _chart(path, checked)


def _chart(path: str, checked: Checked) -> Iterator[Finding]:
    folder = path.removesuffix(CHART)
    for described in checked.objects.get(path, ()):
        missing = [key for key in ("apiVersion", "name", "version") if not _of(described, key)]
        if missing:
            yield error(path, "", f"lacks {', '.join(missing)}")
        elif described["apiVersion"] != "v2":
            yield error(path, "apiVersion", f"is {described['apiVersion']}; write v2, which is Helm 3's and 4's")
    values: Any = next(iter(checked.objects.get(f"{folder}values.yaml", ())), {})
    templates = {
        each: text
        for each, text in checked.texts.items()
        if each.startswith(folder) and is_template(each, checked.texts)
    }
    defined = {name for text in templates.values() for name in _DEFINED.findall(text)}
    used: set[str] = set()
    for each, text in templates.items():
        for name in sorted({*_INCLUDED.findall(text)} - defined):
            yield error(each, "", f"includes {name!r}, which no template defines")
        for place in sorted({*_VALUE.findall(text)}):
            used.add(place.split(".")[1])
            if not _has(values, place.split(".")[1:]):
                yield error(each, "", f"asks for .Values{place}, which values.yaml does not have")
        yield from _ends(each, text)
    for name in sorted({*values} - used if isinstance(values, dict) else ()):
        yield warning(f"{folder}values.yaml", name, "is used by no template")


def _has(values: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def _of(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _ends(path: str, text: str) -> Iterator[Finding]:
    """Every block that is opened is closed."""
    words = _ACTION.findall(text)
    opened, closed = len([word for word in words if word != "end"]), words.count("end")
    if opened != closed:
        yield error(path, "", f"opens {opened} blocks and closes {closed}")
