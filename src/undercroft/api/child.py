"""How a process runs that the supervisor started: on an inherited socket, and no longer than its parent."""

import argparse
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from undercroft.api.control import fetch_to_start
from undercroft.api.lanes import Doors, serve_lanes
from undercroft.api.logs import configure
from undercroft.api.server import Service, serve
from undercroft.api.supervisor import READY
from undercroft.assembly import Shared
from undercroft.errors import UndercroftError
from undercroft.settings.model import Settings
from undercroft.settings.transfer import unpack
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.uncaught import log_uncaught


@dataclass(frozen=True, slots=True)
class Given:
    """What the supervisor gave this process to work with."""

    settings: Settings
    generation: int
    shared: Shared
    sock: socket.socket
    lanes: tuple[socket.socket, ...] = ()
    """Further sockets, of which it serves those that it is told to."""


Make = Callable[[Given], Service]


class Parent:
    """The supervisor, which hears once whether this process is ready, or why it cannot be."""

    def __init__(self, status: int) -> None:
        self._status: int | None = status

    def tell(self, what: bytes) -> bool:
        """False when it was told something before."""
        if self._status is None:
            return False
        with contextlib.suppress(BrokenPipeError):  # it is gone, and so are we, soon
            os.write(self._status, what)
        os.close(self._status)
        self._status = None
        return True


def run_child(make: Make) -> int:
    """Serves the application that `make` builds until the parent says so, or is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--lifeline", type=int, required=True, help="closes when the parent is gone")
    parser.add_argument("--status", type=int, required=True, help="where to say that we are ready, or cannot be")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--control", type=Path, required=True, help="where the configuration is handed out")
    parser.add_argument("--lanes", type=numbers, default=(), help="further listening sockets")
    parser.add_argument("--door", type=Path, help="where it is told which of them to serve")
    options = parser.parse_args()
    parent = Parent(options.status)
    try:
        _serve(make, options, parent)
    except UndercroftError as error:
        if not parent.tell(str(error).encode()):
            get_logger("undercroft.worker").error("worker_failed", reason=str(error))
        return 1
    return 0


def _serve(make: Make, options: argparse.Namespace, parent: Parent) -> None:
    state = fetch_to_start(options.control)
    settings = unpack(bytes(state.settings))
    configure(settings)
    log_uncaught()

    def ready() -> None:
        parent.tell(READY)

    with socket.socket(fileno=options.fd) as sock:
        shared = Shared(metrics=options.metrics, models=options.models, control=options.control)
        lanes = tuple(socket.socket(fileno=number) for number in options.lanes)
        service = make(Given(settings, state.generation, shared, sock, lanes))
        if options.door is None:
            serve(service, settings, sock, ready=ready, lifeline=options.lifeline)
        else:
            doors = Doors(lanes=lanes, path=options.door)
            serve_lanes(service, settings, sock, doors, ready=ready, lifeline=options.lifeline)


def numbers(text: str) -> tuple[int, ...]:
    """`5,6,7` as numbers."""
    return tuple(int(number) for number in text.split(",") if number)
