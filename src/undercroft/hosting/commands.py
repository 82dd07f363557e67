"""What the command line and the host say to each other, over a Unix socket that only this user can open."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from undercroft.api.version_control import connect
from undercroft.errors import UndercroftError
from undercroft.hosting.types import Gate, Rollout, State

SOCKET: Final = "host.sock"
LOCK: Final = "host.lock"
LOG: Final = "host.log"
FOLDER: Final = "deploy"
"""Of the data directory."""
ANSWER_S: Final = 24 * 3600.0


class Bring(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is to be brought up, and the host's own terms where it is the first."""

    python: str
    settings: str
    """Its settings file, as text."""
    gate: Gate
    host: str
    port: int
    workers: int
    directory: str
    name: str = ""
    """Empty: the next number."""
    keep: int = 3
    drain_s: float = 600.0


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done."""

    about: Literal["up", "switch", "rollback", "status", "down"]
    bring: Bring | None = None
    rollout: Rollout | None = None
    gate: Gate = Gate()


class News(msgspec.Struct, frozen=True, kw_only=True):
    """How it goes, line by line; the last has `state` and whether it went well."""

    text: str = ""
    state: State | None = None
    failure: str = ""
    """Its error's code, where it went wrong."""


class HostUnreachable(UndercroftError):
    """No host runs in this folder."""

    code = "host_unreachable"


class CommandFailed(UndercroftError):
    """The host could not do it."""

    code = "deploy_failed"


def order(folder: Path, command: Command, *, tell: Callable[[str], None]) -> News:
    """Has the host do it, and passes on what it says meanwhile. Raises HostUnreachable and CommandFailed."""
    try:
        sock = connect(folder / SOCKET, timeout_s=ANSWER_S)
    except OSError as error:
        raise HostUnreachable(
            "No host runs here; versions that run go on.", hint="Type: undercroft deploy up"
        ) from error
    try:
        with sock, sock.makefile("rwb") as file:
            file.write(msgspec.json.encode(command) + b"\n")
            file.flush()
            for line in file:
                news = msgspec.json.decode(line, type=News)
                if news.failure:
                    raise CommandFailed(news.text, code=news.failure)
                if news.state is not None:
                    return news
                tell(news.text)
    except (OSError, msgspec.DecodeError) as error:
        raise HostUnreachable(f"The host does not answer any more: {error}.") from error
    raise HostUnreachable("The host ended in the middle; versions go on.", hint="Type: undercroft deploy up")
