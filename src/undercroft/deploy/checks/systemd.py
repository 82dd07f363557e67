"""Checks of systemd's units: what refers to nothing, and what is not safe."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import Checked
from undercroft.deploy.checks.images import is_secret_in_clear

ENDING: Final = ".service"
_LINE: Final = re.compile(r"^([A-Za-z]+)=(.*)$", re.MULTILINE)
_EXPECTED: Final = {
    "NoNewPrivileges": "nothing it starts gains rights",
    "ProtectSystem": "it cannot write to the system",
    "ProtectHome": "it cannot read anybody's home",
    "PrivateTmp": "it shares /tmp with nobody",
}


def units(checked: Checked) -> list[str]:
    """Their paths."""
    return [path for path in checked.texts if path.endswith(ENDING)]


def check(checked: Checked) -> Iterator[Finding]:
    """Every unit of a service at the top of the folder."""
    named = units(checked)
    for path in named:
        lines = _lines(checked.texts[path])
        (user, *_) = lines.get("User", [""])
        if not lines.get("ExecStart"):
            yield error(path, "ExecStart", "is not there: it starts nothing")
        if user in ("", "root", "0") and lines.get("DynamicUser") != ["yes"]:
            yield error(path, "User", "is root; name another user")
        for name, meaning in _EXPECTED.items():
            if lines.get(name, ["no"])[-1] in ("no", "false", ""):
                yield warning(path, name, f"is off; with it {meaning}")
        if lines.get("Type") != ["oneshot"] and lines.get("Restart", ["no"]) == ["no"]:
            yield warning(path, "Restart", "is off: it does not come back when it dies; write Restart=always")
        for variable in lines.get("Environment", ()):
            name, _, value = variable.strip('"').partition("=")
            if is_secret_in_clear(name, value):
                yield error(path, name, "holds a secret that every user can read; write it into the EnvironmentFile")
        for other in " ".join((*lines.get("Wants", ()), *lines.get("Requires", ()))).split():
            if other.endswith(ENDING) and other not in named:
                yield error(path, "Wants", f"there is no {other}")


def _lines(text: str) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name, value in _LINE.findall(text):
        found.setdefault(name, []).append(value)
    return found
