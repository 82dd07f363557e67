"""`python -m undercroft.api.version_process`: one version of the server beside others, on lanes that all of them hold.

Started by the host (`undercroft deploy up`) and not bound to its life: should the host die, this goes on serving.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from undercroft import __version__
from undercroft.api import version_control
from undercroft.api.child import Parent, numbers
from undercroft.api.figures import Figures, together
from undercroft.api.lanes import DoorOrder, DoorReport, order_door
from undercroft.api.logs import configure
from undercroft.api.supervisor import READY, Child, Supervisor
from undercroft.api.version_control import Order, Report
from undercroft.api.workers import children_of, run_children
from undercroft.errors import UndercroftError
from undercroft.settings.model import Settings
from undercroft.settings.sources import Source
from undercroft.storage.migrate import HEAD
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.uncaught import log_uncaught

CONTROL = "control.sock"
SIDE_DOOR = "side.sock"
"""HTTP for the host alone, to see whether this version can be let in."""


class Lanes:
    """Which lanes this version serves, and which of its processes serves which."""

    def __init__(self, name: str, doors: tuple[Path, ...]) -> None:
        self._name = name
        self._doors = doors
        self._lanes: tuple[int, ...] = ()
        self._one_at_a_time = asyncio.Lock()
        self._figures: dict[Path, Figures] = {}
        self.deaths: Callable[[], int] = lambda: 0

    async def carry_out(self, order: Order) -> Report:
        """What the host wants."""
        async with self._one_at_a_time:
            failure = ""
            if order.about == "lanes":
                self._lanes = order.lanes
                failure = await self._spread()
            else:
                await self._tell({})
            return Report(
                name=self._name,
                undercroft=__version__,
                schema=HEAD,
                lanes=self._lanes,
                figures=msgspec.structs.replace(together(self._figures.values()), deaths=self.deaths()),
                failure=failure,
            )

    async def welcome(self) -> None:
        """A process has become ready, in place of another perhaps: it gets the lanes of its slot."""
        async with self._one_at_a_time:
            if self._lanes and (failure := await self._spread()):
                get_logger("undercroft.version").warning("lanes_not_served", reason=failure)

    async def _spread(self) -> str:
        """A lane that moves between processes of this version may have nobody for a moment: what comes then queues."""
        count = len(self._doors)
        parts = {door: self._lanes[place::count] for place, door in enumerate(self._doors)}
        return await self._tell(parts)

    async def _tell(self, parts: dict[Path, tuple[int, ...]]) -> str:
        outcomes = await asyncio.gather(
            *(order_door(door, DoorOrder(lanes=parts.get(door))) for door in self._doors), return_exceptions=True
        )
        failures = []
        for door, outcome in zip(self._doors, outcomes, strict=True):
            match outcome:
                case DoorReport():
                    self._figures[door] = outcome.figures
                case OSError() | TimeoutError() | msgspec.DecodeError():
                    failures.append(f"{door.stem} does not answer")
                case BaseException():
                    raise outcome
        return "; ".join(failures)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--config", type=Path, required=True, help="this version's settings file")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lanes", type=numbers, required=True, help="descriptors of the listening sockets")
    parser.add_argument("--folder", type=Path, required=True, help="where its sockets are to be")
    parser.add_argument("--status", type=int, required=True, help="where to say that it is ready, or cannot be")
    options = parser.parse_args()
    parent = Parent(options.status)
    try:
        source = Source.here(options.config, {"server.host": options.host, "server.port": options.port})
        settings = source.load().settings
        configure(settings)
        log_uncaught()
        lanes = tuple(socket.socket(fileno=number) for number in options.lanes)
        failure = _serve(options, settings, source, lanes, parent)
    except UndercroftError as error:
        failure = str(error)
    if failure and not parent.tell(failure.encode()):
        get_logger("undercroft.version").error("version_failed", reason=failure)
    return 1 if failure else 0


def _serve(
    options: argparse.Namespace,
    settings: Settings,
    source: Source,
    lanes: tuple[socket.socket, ...],
    parent: Parent,
) -> str:
    """Until told to stop; why it gave up, if it did."""
    folder = Path(tempfile.mkdtemp(prefix="undercroft-"))
    try:
        side_door = version_control.listen(options.folder / SIDE_DOOR)
        doors = tuple(folder / f"gateway-{slot}.sock" for slot in range(settings.server.workers))
        children = children_of(folder, [side_door] * len(doors), lanes=lanes, doors=doors)
        control = version_control.listen(options.folder / CONTROL)
        return asyncio.run(
            _run(
                children,
                settings,
                source,
                folder=folder,
                control=control,
                lanes=Lanes(options.name, doors),
                sockets=lanes,
                ready=partial(_tell_ready, parent),
            )
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(
    children: list[Child],
    settings: Settings,
    source: Source,
    *,
    folder: Path,
    control: socket.socket,
    lanes: Lanes,
    sockets: tuple[socket.socket, ...],
    ready: Callable[[], None],
) -> str:
    welcomes: set[asyncio.Task[None]] = set()

    def welcome(_: int) -> None:
        task = asyncio.create_task(lanes.welcome())
        welcomes.add(task)
        task.add_done_callback(welcomes.discard)

    def watch(supervisor: Supervisor) -> None:
        lanes.deaths = lambda: supervisor.deaths

    answering = asyncio.create_task(version_control.answer(control, lanes.carry_out, sockets))
    try:
        return await run_children(
            children, source, settings, folder=folder, ready=ready, applied=configure, on_ready=welcome, made=watch
        )
    finally:
        answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answering
        for task in welcomes:
            task.cancel()


def _tell_ready(parent: Parent) -> None:
    parent.tell(READY)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
