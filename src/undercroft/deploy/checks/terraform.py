"""Checks of Terraform's files: references that lead nowhere. What the provider takes only Terraform itself knows."""

import json
import re
from collections.abc import Iterator
from typing import Final

from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import Checked

_COMMENT: Final = re.compile(r"(^|\s)(#|//).*$", re.MULTILINE)
_BLOCK: Final = re.compile(r'^(resource|data|ephemeral) "([a-z0-9_]+)" "([a-z0-9_-]+)"', re.MULTILINE)
_VARIABLE: Final = re.compile(r'^variable "([a-z0-9_]+)"', re.MULTILINE)
_LOCALS: Final = re.compile(r"^locals \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_LOCAL: Final = re.compile(r"^  ([a-z0-9_]+)\s*=", re.MULTILINE)
_USED: Final = re.compile(r"(?<![\w.])(data\.|ephemeral\.)?((?:aws|random)_[a-z0-9_]+)\.([a-z0-9_]+)")
_VALUE: Final = re.compile(r"(?<![\w.])(var|local)\.([a-z0-9_]+)")
_KIND: Final = {"resource": "", "data": "data.", "ephemeral": "ephemeral."}


def check(checked: Checked) -> Iterator[Finding]:
    """The module at the top of the folder."""
    files = {path: _COMMENT.sub("", text) for path, text in checked.texts.items() if re.fullmatch(r"[^/]+\.tf", path)}
    whole = "\n".join(files.values())
    made = {f"{_KIND[kind]}{name}.{label}" for kind, name, label in _BLOCK.findall(whole)}
    variables = {*_VARIABLE.findall(whole)}
    local = {name for body in _LOCALS.findall(whole) for name in _LOCAL.findall(body)}
    used: set[str] = set()
    for path, text in files.items():
        for kind, name, label in sorted({*_USED.findall(text)}):
            if f"{kind}{name}.{label}" not in made:
                yield error(path, f"{kind}{name}.{label}", "is described nowhere")
        for kind, name in sorted({*_VALUE.findall(text)}):
            used.add(f"{kind}.{name}")
            if name not in (variables if kind == "var" else local):
                yield error(path, f"{kind}.{name}", "is declared nowhere")
        if text.count("{") != text.count("}"):
            yield error(path, "", "opens more braces than it closes, or the other way round")
    for name in sorted(variables):
        if f"var.{name}" not in used:
            yield warning("variables.tf", name, "is used nowhere")
    for path, text in checked.texts.items() if files else ():
        if path.endswith(".auto.tfvars.json"):
            for name in sorted(json.loads(text).keys() - variables):
                yield error(path, name, "is no variable of this module")
