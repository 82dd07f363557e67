"""The host as a process: one a folder, told what to do over a socket, continued by its successor if it is killed."""

import asyncio
import fcntl
import os
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from undercroft.api import version_control
from undercroft.api.binding import bind
from undercroft.clock import Clock, SystemClock
from undercroft.errors import Conflict, InvalidRequest, UndercroftError
from undercroft.hosting import statefile
from undercroft.hosting.commands import LOCK, SOCKET, Bring, Command, News
from undercroft.hosting.host import Host, Tell
from undercroft.hosting.runner import ProcessRunner
from undercroft.hosting.types import Rollout, State, Version, lanes_for
from undercroft.telemetry.logs import get_logger

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}")
LONGEST_LINE_BYTES: Final = 16 * 1024 * 1024


class HostThere(UndercroftError):
    """Another host looks after this folder."""

    code = "host_there"


@contextmanager
def only_host(folder: Path) -> Iterator[None]:
    """Raises HostThere while another process has the folder. The kernel lets go of it however that one ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise HostThere(f"A host runs in {folder} already.") from None
    try:
        yield
    finally:
        os.close(descriptor)


def run_host(folder: Path, *, ready: Callable[[], None], first: Command | None = None) -> None:
    """Until SIGTERM or SIGINT, which end the host alone: versions go on. `first` is done when it runs.

    Raises HostThere and StateUnusable.
    """
    with only_host(folder):
        state = statefile.load(folder)
        asyncio.run(Hosting(folder, state, clock=SystemClock()).run(ready=ready, first=first))


class Hosting:
    """The host with the folder, the sockets and whoever gives it orders."""

    def __init__(self, folder: Path, state: State | None, *, clock: Clock) -> None:
        self._folder = folder
        self._state = state
        self._clock = clock
        self._runner = ProcessRunner(folder)
        self._host: Host | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._logger = get_logger("undercroft.host")

    async def run(self, *, ready: Callable[[], None], first: Command | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        if self._state is not None:
            self._host = await self._resumed(self._state)
            self._spawn(self._proceed(self._host))
        listener = version_control.listen(self._folder / SOCKET)
        server = await asyncio.start_unix_server(self._converse, sock=listener, limit=LONGEST_LINE_BYTES)
        ready()
        if first is not None:
            self._spawn(self._do_first(first))
        try:
            await self._over.wait()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            if self._host is not None:
                await self._host.close()
            self._runner.close()

    async def _resumed(self, state: State) -> Host:
        host = self._made(state)
        for version in state.versions:  # for the sockets: whoever runs has them all
            if version.is_living and (await self._runner.adopt(version)) is not None:
                break
        if not self._runner.lanes:
            self._runner.lanes = open_lanes(state.host, state.port, state.lanes)
        await host.resume(self._log)
        return host

    def _made(self, state: State) -> Host:
        return Host(state, self._runner, save=lambda each: statefile.save(self._folder, each), clock=self._clock)

    async def _proceed(self, host: Host) -> None:
        try:
            if said := await host.proceed(self._log):
                self._log(said)
        except UndercroftError as error:
            self._log(str(error))

    async def _do_first(self, command: Command) -> None:
        try:
            self._log(await self._carry_out(command, self._log))
        except UndercroftError as error:
            self._logger.warning("not_done", about=command.about, reason=str(error))
            if self._host is None or not self._host.state.active:
                self._over.set()

    def _spawn(self, work: "Awaitable[None]") -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _log(self, text: str) -> None:
        self._logger.info("progress", text=text)

    # Orders.

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Whoever asks may leave: what was begun goes on."""
        lines: asyncio.Queue[News] = asyncio.Queue()
        try:
            line = await reader.readline()
            if not line:  # somebody only looked whether there is a host
                writer.close()
                return
            command = msgspec.json.decode(line, type=Command)
        except (msgspec.DecodeError, ValueError, OSError) as error:
            self._logger.warning("order_not_understood", reason=str(error))
            writer.close()
            return
        self._spawn(self._work(command, lines))
        try:
            while True:
                news = await lines.get()
                writer.write(msgspec.json.encode(news) + b"\n")
                await writer.drain()
                if news.failure or news.state is not None:
                    return
        except OSError:
            return
        finally:
            writer.close()

    async def _work(self, command: Command, lines: "asyncio.Queue[News]") -> None:
        def tell(text: str) -> None:
            self._log(text)
            lines.put_nowait(News(text=text))

        try:
            text = await self._carry_out(command, tell)
            state = self._host.state if self._host is not None else EMPTY
            lines.put_nowait(News(text=text, state=state))
        except UndercroftError as error:
            lines.put_nowait(News(text=str(error), failure=error.code))
        except Exception as error:  # the outermost edge of an order: whoever waits must hear of it
            self._logger.exception("order_failed")
            lines.put_nowait(News(text=f"unexpected {type(error).__name__}: {error}", failure="internal_error"))
        if command.about == "down":
            self._over.set()

    async def _carry_out(self, command: Command, tell: Tell) -> str:
        if command.about == "up":
            assert command.bring is not None
            return await self._up(command.bring, tell)
        host = self._host
        if command.about == "status":
            return ""
        if host is None:
            raise Conflict("Nothing is up here.", hint="Type: undercroft deploy up")
        match command.about:
            case "switch":
                return await host.switch(command.rollout or Rollout(), tell)
            case "rollback":
                return await host.rollback(command.gate, tell)
            case _:
                return await host.down(tell)

    async def _up(self, bring: Bring, tell: Tell) -> str:
        host = self._host
        if host is not None and not bring.name and (there_is := self._same_as(host.state, bring)):
            return f"{there_is} is up already, with these settings and this Python."
        fresh: Sequence[socket.socket] = ()
        if host is None:
            count = lanes_for(bring.workers)
            self._runner.lanes = fresh = open_lanes(bring.host, bring.port, count)
            state = State(
                host=bring.host,
                port=fresh[0].getsockname()[1],
                lanes=count,
                directory=bring.directory,
                keep=bring.keep,
                drain_s=bring.drain_s,
            )
            host = self._made(state)
        elif bring.port not in (0, host.state.port) or bring.host != host.state.host:
            raise InvalidRequest(
                f"This host listens on {host.state.host} port {host.state.port}; a version cannot change that.",
                hint="Leave host and port as they are, or take everything down first.",
            )
        host.state = replace(host.state, keep=bring.keep, drain_s=bring.drain_s)
        version = Version(name=bring.name or _next_name(host.state), python=bring.python, added_us=self._clock.now_us())
        if not NAME.fullmatch(version.name):
            raise InvalidRequest("A version's name has small letters, digits, dots, dashes and underscores.")
        there = host.state.version(version.name)
        if there is not None and there.is_living:
            raise Conflict(f"There is a version {version.name}, and it runs.", hint="Name another.")
        self._runner.keep_settings(version.name, bring.settings)
        try:
            text = await host.up(version, bring.gate, tell)
        except UndercroftError:
            if self._host is None:  # nobody shall wait behind a port that nothing will ever answer on
                await host.close()
                for sock in fresh:
                    sock.close()
                self._runner.lanes = ()
                (self._folder / statefile.NAME).unlink(missing_ok=True)
            raise
        self._host = host
        return text

    def _same_as(self, state: State, bring: Bring) -> str:
        """The version that serves, or is about to, where it is the very one that is to be brought up."""
        known = [each for each in (state.version(state.active), state.candidate) if each is not None]
        same = (each.name for each in known if each.python == bring.python)
        return next((name for name in same if self._runner.settings(name) == bring.settings), "")


EMPTY: Final = State(host="", port=0, lanes=0, directory="")


def open_lanes(host: str, port: int, count: int) -> tuple[socket.socket, ...]:
    """The listening sockets of a port, not listening yet: the first version does that. Raises PortTaken."""
    first = bind(host, port)
    port = first.getsockname()[1]
    first.close()  # it only found out whether the port is free: SO_REUSEPORT would have shared it without a word
    return tuple(bind(host, port, shares=True) for _ in range(count))


def _next_name(state: State) -> str:
    numbers = [int(each.name[1:]) for each in state.versions if re.fullmatch(r"v[0-9]{1,9}", each.name)]
    return f"v{max(numbers, default=0) + 1}"
