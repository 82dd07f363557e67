"""The state on disk: whole or refused. A host that guesses could stop a version that answers."""

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from undercroft.errors import UndercroftError
from undercroft.hosting.types import State

FORMAT: Final = 1
NAME: Final = "state.json"
FORMER: Final = "state.former.json"


class StateUnusable(UndercroftError):
    """The state of the versions cannot be read."""

    code = "state_unusable"


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds: the state's text and its SHA-256, so that a cut or edited one is told from a whole one."""

    format: int
    sha256: str
    state: msgspec.Raw


def save(folder: Path, state: State) -> None:
    """Replaces the state in one step, and keeps the one before it beside it."""
    text = msgspec.json.encode(state)
    sealed = Sealed(format=FORMAT, sha256=hashlib.sha256(text).hexdigest(), state=msgspec.Raw(text))
    draft, place = folder / f"{NAME}.part", folder / NAME
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(sealed) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if place.exists():
        former = folder / FORMER
        former.unlink(missing_ok=True)
        os.link(place, former)
    draft.replace(place)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load(folder: Path) -> State | None:
    """The state; None where there is none. Raises StateUnusable."""
    place = folder / NAME
    try:
        text = place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateUnusable(f"{place} cannot be read: {error.strerror}.") from error
    try:
        sealed = msgspec.json.decode(text, type=Sealed)
    except msgspec.DecodeError as error:
        raise _unusable(place, "it is cut short, or no JSON") from error
    if sealed.format != FORMAT:
        raise _unusable(place, f"it has format {sealed.format}, and this undercroft knows {FORMAT}")
    if hashlib.sha256(bytes(sealed.state)).hexdigest() != sealed.sha256:
        raise _unusable(place, "it does not fit its checksum")
    return msgspec.json.decode(sealed.state, type=State)


def _unusable(place: Path, why: str) -> StateUnusable:
    return StateUnusable(
        f"The state of the versions in {place} cannot be used: {why}. Nothing was changed; versions that run go on.",
        hint=f"The state before that change is beside it; look at it, and type: cp {place.with_name(FORMER)} {place}",
    )
