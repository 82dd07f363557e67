"""What a target renders: text by path, and what else belongs to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class GeneratedSecret:
    """A line of `.env` with a random value, which the command makes once."""

    variable: str
    kind: Literal["token", "fernet"]
    """`token`: 43 characters that fit into addresses and headers; `fernet`: a key for `ENCRYPTION_KEY`."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of one target, relative to its folder."""

    files: Mapping[str, str]
    env: tuple[GeneratedSecret, ...] = ()
    """What `.env` holds; empty: there is none."""
    vendored_at: str | None = "vendor"
    """Where the wheel and the certificates go that are installed from it; None: nothing is."""


def made_by(target: str, *, comment: str = "#") -> str:
    """The line at the top of every file that can have one."""
    return (
        f"{comment} Made by `undercroft deploy render {target}`: change [deploy] in undercroft.toml and render again.\n"
    )
