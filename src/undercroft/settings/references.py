"""Secrets that the file only points at: `env:NAME` and `file:PATH`."""

import re
from collections.abc import Mapping
from pathlib import Path

from undercroft.settings import explain
from undercroft.settings.draft import Draft, dotted
from undercroft.settings.files import FileProblem, read_secret
from undercroft.settings.locate import Place
from undercroft.settings.shape import settings_shape

_REFERENCE = re.compile(r"(env|file|secret):(.+)", re.DOTALL)


def follow_references(draft: Draft, known: Mapping[str, str], directory: Path) -> set[str]:
    """Replaces `env:NAME` and `file:PATH` where a secret is wanted; returns the variables that were named."""
    followed: set[str] = set()
    for place, value in list(draft.leaves()):
        if not isinstance(value, str) or not settings_shape().is_secret(place):
            continue
        reference = _REFERENCE.fullmatch(value)
        if reference is None:
            _warn_of_secret_in_file(place, value, draft)
            continue
        kind, name = reference[1], reference[2].strip()
        if kind == "secret":
            draft.complain(
                place, f"{dotted(place)}: this version has no store of secrets yet; write env:NAME or file:PATH"
            )
            continue
        try:
            secret = _from_variable(name, known, directory) if kind == "env" else _from_file(name, directory)
        except FileProblem as problem:
            draft.complain(place, f"{dotted(place)}: {problem}")
        else:
            draft.follow(place, secret, f"{kind}:{name}")
            followed |= {name, f"{name}_FILE"}
    return followed


def _from_variable(name: str, known: Mapping[str, str], directory: Path) -> str:
    if name in known:
        return known[name]
    if f"{name}_FILE" in known:
        return _from_file(known[f"{name}_FILE"], directory)
    raise FileProblem(f"the variable {name} is not set{explain.did_you_mean(name, known)}")


def _from_file(name: str, directory: Path) -> str:
    return read_secret(directory / Path(name).expanduser())


def _warn_of_secret_in_file(place: Place, value: str, draft: Draft) -> None:
    origin = draft.origin(place)
    if origin.line and not origin.name and ("://" not in value or explain.masked_url(value) != value):
        text = f"{dotted(place)} holds a secret that belongs elsewhere; write env:NAME or file:PATH"
        draft.warnings.append((origin, text))
