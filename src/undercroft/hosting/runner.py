"""Runs versions as processes of their own: starts, asks, watches and stops them."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from undercroft.api import version_control
from undercroft.api.figures import Figures
from undercroft.api.supervisor import READY
from undercroft.api.version_control import Order, Report
from undercroft.api.version_process import CONTROL, SIDE_DOOR
from undercroft.errors import Unavailable, UndercroftError
from undercroft.hosting import processes
from undercroft.hosting.probe import try_out
from undercroft.hosting.processes import Held
from undercroft.hosting.types import Gate, Process, State, Version

STOP_S: Final = 120.0
"""How long a version may take to end; its own supervisor ends what is late before that."""
MIGRATE_S: Final = 3600.0
SETTINGS: Final = "undercroft.toml"


class Runner(Protocol):
    """Who runs versions. What a version refuses, or cannot do, is an UndercroftError that says so."""

    async def migrate(self, version: Version, state: State, /) -> None:
        """Brings the database to the version's schema, if those that run can live with it."""
        ...

    async def launch(self, version: Version, state: State, /) -> Process:
        """Starts it; `ready` says what becomes of it."""
        ...

    async def ready(self, version: Version, /, *, within_s: float) -> Report:
        """Returns when a launched version could take traffic."""
        ...

    async def adopt(self, version: Version, /) -> Report | None:
        """Takes over a version that another host has started; None when it is gone."""
        ...

    async def try_out(self, version: Version, gate: Gate, /) -> str:
        """Sends it real requests. What is wrong, if anything."""
        ...

    async def serve(self, version: Version, lanes: tuple[int, ...], /) -> None:
        """Has it serve these lanes and no others."""
        ...

    async def figures(self, version: Version, /) -> Figures: ...

    async def ended(self, version: Version, /) -> None:
        """Returns when its process has ended."""
        ...

    async def stop(self, version: Version, /, *, at_once: bool = False) -> None:
        """Ends it: with what it is answering, unless it is to be `at_once`."""
        ...

    def forget(self, name: str, /) -> None:
        """Deletes what was kept of a version."""
        ...


class ProcessRunner:
    """A Runner. `lanes` are passed on to every version that is launched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lanes: Sequence[socket.socket] = ()
        self._held: dict[str, Held] = {}
        self._told: dict[str, int] = {}
        """Where versions that start say that they are ready."""
        self._children: dict[str, asyncio.subprocess.Process] = {}
        """Kept so that they are reaped."""

    def place(self, name: str) -> Path:
        """The folder of a version: its settings and its sockets."""
        return self._folder / "versions" / name

    def keep_settings(self, name: str, text: str) -> None:
        """The version's own copy: what it was started with is what it is started with again."""
        self.forget(name)
        place = self.place(name)
        place.mkdir(mode=0o700, parents=True)
        descriptor = os.open(place / SETTINGS, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)

    def settings(self, name: str) -> str:
        return (self.place(name) / SETTINGS).read_text("utf-8")

    async def migrate(self, version: Version, state: State, /) -> None:
        active = state.version(state.active)
        beside = ["--beside", active.schema] if active is not None and active.schema else []
        command = [version.python, "-m", "undercroft", "migrate", "--config", str(self.place(version.name) / SETTINGS)]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                *beside,
                cwd=state.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise UndercroftError(f"{version.python} cannot be started: {error.strerror}.") from error
        try:
            async with asyncio.timeout(MIGRATE_S):
                _, said = await process.communicate()
        except TimeoutError:
            process.kill()
            raise UndercroftError(f"The migration took longer than {MIGRATE_S:.0f} s.") from None
        if process.returncode:
            lines = said.decode("utf-8", "replace").strip().splitlines()
            why = " ".join(line.removeprefix("undercroft: ") for line in lines[-5:])
            raise UndercroftError(f"The database was not migrated: {why or f'exit code {process.returncode}'}")

    async def launch(self, version: Version, state: State, /) -> Process:
        told, status = os.pipe()
        lanes = [sock.fileno() for sock in self.lanes]
        place = self.place(version.name)
        arguments = ["--name", version.name, "--config", str(place / SETTINGS), "--folder", str(place)]
        arguments += ["--host", state.host, "--port", str(state.port), "--lanes", ",".join(map(str, lanes))]
        try:
            child = await asyncio.create_subprocess_exec(
                version.python,
                *("-m", "undercroft.api.version_process", *arguments, "--status", str(status)),
                pass_fds=(status, *lanes),
                cwd=state.directory,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # what ends the host, a terminal's Ctrl-C say, is not meant for it
            )
        except OSError as error:
            os.close(told)
            raise UndercroftError(f"{version.python} cannot be started: {error.strerror}.") from error
        finally:
            os.close(status)
        self._children[version.name], self._told[version.name] = child, told
        process = processes.identify(child.pid)
        held = None if process is None else processes.hold(process)
        if process is None or held is None:
            raise UndercroftError(f"{version.python} ended at once: {await self._hear(told)}")
        self._held[version.name] = held
        return process

    async def ready(self, version: Version, /, *, within_s: float) -> Report:
        try:
            async with asyncio.timeout(within_s):
                said = await self._hear(self._told.pop(version.name))
        except TimeoutError:
            raise UndercroftError(f"It did not start within {within_s:.0f} s.") from None
        if said != READY.decode():
            raise UndercroftError(f"It did not start: {said.strip() or 'it ended without a word; its log says more'}")
        return await self._ask(version, Order(about="report"))

    async def adopt(self, version: Version, /) -> Report | None:
        self._let_go(version.name)
        held = None if version.process is None else processes.hold(version.process)
        if held is None:
            return None
        try:
            report = await self._ask(version, Order(about="report"))
        except Unavailable:
            held.close()
            return None
        self._held[version.name] = held
        if not self.lanes:
            self.lanes = await asyncio.to_thread(version_control.fetch_sockets, self.place(version.name) / CONTROL)
        return report

    async def try_out(self, version: Version, gate: Gate, /) -> str:
        door = self.place(version.name) / SIDE_DOOR
        return await asyncio.to_thread(try_out, door, gate, within_s=gate.start_timeout_s)

    async def serve(self, version: Version, lanes: tuple[int, ...], /) -> None:
        await self._ask(version, Order(about="lanes", lanes=lanes))

    async def figures(self, version: Version, /) -> Figures:
        return (await self._ask(version, Order(about="report"))).figures

    async def ended(self, version: Version, /) -> None:
        if (held := self._held.get(version.name)) is not None:
            await held.ended()

    async def stop(self, version: Version, /, *, at_once: bool = False) -> None:
        held = self._held.get(version.name)
        if held is None:
            return
        held.signal(signal.SIGTERM)
        if at_once:
            held.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await held.ended()
        except TimeoutError:
            held.signal(signal.SIGKILL)
            await held.ended()
        self._let_go(version.name)

    def forget(self, name: str, /) -> None:
        self._let_go(name)
        shutil.rmtree(self.place(name), ignore_errors=True)

    def close(self) -> None:
        """Lets go of everything; versions go on."""
        for name in tuple(self._held):
            self._let_go(name)
        for sock in self.lanes:
            sock.close()

    def _let_go(self, name: str) -> None:
        self._children.pop(name, None)
        if (held := self._held.pop(name, None)) is not None:
            held.close()
        if (told := self._told.pop(name, None)) is not None:
            os.close(told)

    async def _ask(self, version: Version, order: Order) -> Report:
        report = await asyncio.to_thread(version_control.ask, self.place(version.name) / CONTROL, order)
        if report.name != version.name or report.protocol != version_control.PROTOCOL:
            raise Unavailable(f"{version.name} is not what answers, or speaks protocol {report.protocol}.")
        return report

    @staticmethod
    async def _hear(told: int) -> str:
        """READY, or the last words of a version that has ended."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(told, "rb", buffering=0)
        )
        try:
            said = await reader.read(1)
            return (said if said == READY else said + await reader.read()).decode("utf-8", "replace")
        finally:
            transport.close()
