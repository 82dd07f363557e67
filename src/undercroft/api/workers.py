"""What the supervisor of `serve --workers N` runs: a process for the bundled models and N gateway processes."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
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
        models = folder / "models.sock"
        model_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        model_socket.bind(str(models))
        model_socket.listen(BACKLOG)
        control = folder / "control.sock"
        arguments = ["--metrics", str(folder / "metrics"), "--models", str(models), "--control", str(control)]

        def child(name: str, module: str, sock: socket.socket, *, serves_others: bool = False) -> Child:
            command = (sys.executable, "-m", module, *arguments, "--fd", str(sock.fileno()))
            return Child(name, command, sock, serves_others=serves_others)

        children = [
            child("models", "undercroft.api.model_process", model_socket, serves_others=True),
            *(child(f"gateway-{slot}", "undercroft.api.gateway_process", sock) for slot, sock in enumerate(sockets)),
        ]
        failure = asyncio.run(
            _run(children, source, settings, control=control, ready=lambda: ready(sockets[0]), applied=applied)
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if failure:
        raise UndercroftError(failure)
    return 0


async def _run(
    children: list[Child],
    source: Source,
    settings: Settings,
    *,
    control: Path,
    ready: Callable[[], None],
    applied: Callable[[Settings], None],
) -> str:
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

    grace_s = settings.server.shutdown_grace_s
    supervisor = Supervisor(children, grace_s=grace_s, on_ready=welcome, on_hang_up=reload)
    keeper = Keeper(source, settings, notify=notify, alive=lambda: supervisor.serving, applied=applied)
    async with keeper.listening(control):
        running = asyncio.create_task(supervisor.run())
        if await supervisor.all_ready():
            ready()
        return await running


def tell(pid: int) -> None:
    """That there is news."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGHUP)
