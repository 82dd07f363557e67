"""Secrets that the file only points at: `env:NAME`, `file:PATH`, `secret:NAME`, and those of external stores."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from undercroft.settings import explain
from undercroft.settings.draft import Draft, dotted
from undercroft.settings.files import FileProblem, read_secret
from undercroft.settings.locate import Place
from undercroft.settings.places import is_secret
from undercroft.settings.secret_store import SecretStore, Stores
from undercroft.settings.secrets import STORED, is_secret_header, stored_name

_REFERENCE = re.compile(r"(env|file|secret|vault):(.+)", re.DOTALL)
_STORED_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_NEEDED_FIRST: Final[tuple[Place, ...]] = (("database", "url"), ("encryption_key",))
"""The encrypted store cannot be opened without them."""


def follow_references(draft: Draft, known: Mapping[str, str], directory: Path) -> set[str]:
    """Replaces references where a secret is wanted; returns the variables that were named.

    `secret:NAME` stays: the database with it is opened later (`stored_references`).
    """
    followed: set[str] = set()
    stores = Stores(known)
    for place, value in list(draft.leaves()):
        if not isinstance(value, str) or not is_secret(place):
            continue
        reference = _REFERENCE.fullmatch(value)
        if reference is None:
            _warn_of_secret_in_file(place, value, draft)
            continue
        kind, name = reference[1], reference[2].strip()
        if kind == "secret":
            if problem := _not_stored(place, name):
                draft.complain(place, f"{dotted(place)}: {problem}")
            continue
        try:
            if kind == "env":
                secret = _from_variable(name, known, directory)
            else:
                secret = _from_file(name, directory) if kind == "file" else stores.read(kind, name)
        except FileProblem as problem:
            draft.complain(place, f"{dotted(place)}: {problem}")
        else:
            draft.follow(place, secret, f"{kind}:{name}")
            followed |= {name, f"{name}_FILE"}
    return followed


def stored_references(draft: Draft) -> dict[Place, str]:
    """Names of stored secrets that are wanted at the start. Providers' keys are not: those are opened for each call."""
    return {
        place: name
        for place, value in draft.leaves()
        if isinstance(value, str)
        and is_secret(place)
        and (name := stored_name(value)) is not None
        and not is_opened_when_used(place)
    }


def follow_stored(draft: Draft, named: Mapping[Place, str], store: SecretStore) -> None:
    """Replaces these references by what is in the encrypted store."""
    for place, name in named.items():
        try:
            secret = store.read(name)
        except FileProblem as problem:
            draft.complain(place, f"{dotted(place)}: {problem}")
        else:
            draft.follow(place, secret, f"{STORED}{name}")


def is_opened_when_used(place: Place) -> bool:
    """Whether a stored secret is read each time it is sent, so that a new one needs no restart."""
    return place[0] == "provider_keys" or (place[0] == "models" and place[-1] == "api_key")


def _not_stored(place: Place, name: str) -> str:
    """Why a secret of the encrypted store cannot be used here; empty when it can."""
    if place in _NEEDED_FIRST:
        return "the encrypted store cannot be opened without it; write env:NAME, file:PATH or vault:MOUNT/PATH#FIELD"
    if not _STORED_NAME.fullmatch(name):
        return "a stored secret's name has letters, digits, dots, dashes and underscores"
    return ""


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
    if place[0] == "models" and place[-2] == "headers" and not is_secret_header(str(place[-1]), value):
        return
    if origin.line and not origin.name and ("://" not in value or explain.masked_url(value) != value):
        text = f"{dotted(place)} holds a secret that belongs elsewhere; write env:NAME or file:PATH"
        draft.warnings.append((origin, text))
