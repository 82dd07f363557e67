"""What the supervisor of `serve --workers N` runs: a process for the bundled models and N gateway processes."""

import asyncio
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from undercroft.api.supervisor import BACKLOG, Child, Supervisor, open_sockets
from undercroft.errors import UndercroftError
from undercroft.settings.model import Settings


def serve_workers(
    settings: Settings, *, config: Path | None, overrides: Mapping[str, object], ready: Callable[[socket.socket], None]
) -> int:
    """Runs until told to stop; returns the exit code. `ready` is called when all workers answer.

    Raises UndercroftError when the port cannot be had, or a worker cannot be started.
    """
    sockets = open_sockets(settings.server.host, settings.server.port, settings.server.workers)
    folder = Path(tempfile.mkdtemp(prefix="undercroft-"))
    try:
        models = folder / "models.sock"
        model_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        model_socket.bind(str(models))
        model_socket.listen(BACKLOG)
        arguments = [
            *(("--config", str(config)) if config else ()),
            *("--overrides", msgspec.json.encode(overrides).decode()),
            *("--metrics", str(folder / "metrics"), "--models", str(models)),
        ]

        def child(name: str, module: str, sock: socket.socket, *, serves_others: bool = False) -> Child:
            command = (sys.executable, "-m", module, *arguments, "--fd", str(sock.fileno()))
            return Child(name, command, sock, serves_others=serves_others)

        children = [
            child("models", "undercroft.api.model_process", model_socket, serves_others=True),
            *(child(f"gateway-{slot}", "undercroft.api.gateway_process", sock) for slot, sock in enumerate(sockets)),
        ]
        failure = asyncio.run(_run(children, settings.server.shutdown_grace_s, lambda: ready(sockets[0])))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if failure:
        raise UndercroftError(failure)
    return 0


async def _run(children: list[Child], grace_s: float, ready: Callable[[], None]) -> str:
    supervisor = Supervisor(children, grace_s=grace_s)
    running = asyncio.create_task(supervisor.run())
    if await supervisor.all_ready():
        ready()
    return await running
