"""What the supervisor of `serve --workers N` runs: a process for the bundled models and N gateway processes."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from undercroft.api.keeper import Keeper
from undercroft.api.supervisor import BACKLOG, Child, Supervisor, open_sockets
from undercroft.errors import UndercroftError
from undercroft.settings.model import Settings
from undercroft.settings.sources import Source


def serve_workers(
    settings: Settings,
    *,
    source: Source,
    ready: Callable[[socket.socket], None],
    applied: Callable[[Settings], None],
) -> int:
    """Runs until told to stop; returns the exit code. `ready` is called when all workers answer, `applied` with each
    configuration that is put in force later.

    Raises UndercroftError when the port cannot be had, or a worker cannot be started.
    """
    sockets = open_sockets(settings.server.host, settings.server.port, settings.server.workers)
    folder = Path(tempfile.mkdtemp(prefix="undercroft-"))
    try:
        children = children_of(folder, sockets)
        failure = asyncio.run(
            run_children(children, source, settings, folder=folder, ready=lambda: ready(sockets[0]), applied=applied)
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if failure:
        raise UndercroftError(failure)
    return 0


def children_of(
    folder: Path,
    sockets: Sequence[socket.socket],
    *,
    lanes: Sequence[socket.socket] = (),
    doors: Sequence[Path] = (),
) -> list[Child]:
    """A process for the models, and a gateway on each of `sockets`, with what they share in `folder`.

    `lanes` are further sockets, which the gateways serve as they are told at their `doors` (`api/lanes.py`).
    """
    models = folder / "models.sock"
    model_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    model_socket.bind(str(models))
    model_socket.listen(BACKLOG)
    shared = ["--metrics", str(folder / "metrics"), "--models", str(models), "--control", str(folder / CONTROL)]

    def command(module: str, sock: socket.socket) -> list[str]:
        return [sys.executable, "-m", module, *shared, "--fd", str(sock.fileno())]

    children = [
        Child("models", command("undercroft.api.model_process", model_socket), model_socket, serves_others=True)
    ]
    for slot, sock in enumerate(sockets):
        gateway = command("undercroft.api.gateway_process", sock)
        if doors:
            gateway += ["--lanes", ",".join(str(lane.fileno()) for lane in lanes), "--door", str(doors[slot])]
        children.append(Child(f"gateway-{slot}", gateway, sock, lanes=lanes))
    return children


CONTROL = "control.sock"


async def run_children(
    children: Sequence[Child],
    source: Source,
    settings: Settings,
    *,
    folder: Path,
    ready: Callable[[], None],
    applied: Callable[[Settings], None],
    on_ready: Callable[[int], None] = lambda _: None,
    made: Callable[[Supervisor], None] = lambda _: None,
) -> str:
    """Runs them until told to stop, and hands out the configuration. Why it gave up, if it did.

    `ready` is called when all are ready, `on_ready` with the pid of each that has become so, `made` with who keeps
    them.
    """
    reloads: set[asyncio.Task[str]] = set()

    def reload() -> None:
        reloading = asyncio.create_task(keeper.reload())
        reloads.add(reloading)
        reloading.add_done_callback(reloads.discard)

    def notify() -> frozenset[int]:
        for pid in supervisor.serving:
            tell(pid)
        return supervisor.serving

    def welcome(pid: int) -> None:
        if keeper.has_changed:  # perhaps after the process asked what to start with
            tell(pid)
        on_ready(pid)

    grace_s = settings.server.shutdown_grace_s
    supervisor = Supervisor(children, grace_s=grace_s, on_ready=welcome, on_hang_up=reload)
    made(supervisor)
    keeper = Keeper(source, settings, notify=notify, alive=lambda: supervisor.serving, applied=applied)
    async with keeper.listening(folder / CONTROL):
        running = asyncio.create_task(supervisor.run())
        if await supervisor.all_ready():
            ready()
        return await running


def tell(pid: int) -> None:
    """That there is news."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGHUP)
