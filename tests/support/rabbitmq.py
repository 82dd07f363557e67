"""A RabbitMQ server for tests, unpacked from Debian's packages: nothing is installed, and nothing runs but a child."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.support.checkout import free_port
from tests.support.debian import unpacked

START_S = 120
_ERLANG = "asn1 base crypto eldap inets mnesia os-mon parsetools public-key runtime-tools ssl syntax-tools tools xmerl"
# Debian's own `erl` knows one place only.
_ERL = """#!/bin/sh
export ROOTDIR={root} BINDIR={root}/erts-{version}/bin EMU=beam PROGNAME=erl
exec "$BINDIR/erlexec" "$@"
"""
_CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{port}
"""
BLOCKED = "vm_memory_high_watermark.absolute = 1\n"
"""Configuration of a server that is out of memory: it reads nothing from who publishes."""


class RabbitServer:
    """One node with ports, data and logs of its own. `kill` and `start` take it away for a while."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._programs = programs
        self.port = free_port()
        self._epmd_port = free_port()
        self._data = folder / "data"
        self._empty = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        erlang = programs / "usr" / "lib" / "erlang"
        (version,) = (place.name.removeprefix("erts-") for place in erlang.glob("erts-*"))
        self._erts = erlang / f"erts-{version}" / "bin"
        erl = folder / "bin" / "erl"
        erl.parent.mkdir()
        erl.write_text(_ERL.format(root=erlang, version=version))
        erl.chmod(0o755)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text("utf-8", "replace")

    def start(self, *, configuration: str = "") -> None:
        """With what it had, unless `forget` was called; returns when it answers."""
        if self._epmd is None:  # as a child: the one that Erlang starts by itself would outlive everything
            self._epmd = self._child(self._erts / "epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1")
        (self._folder / "rabbitmq.conf").write_text(_CONFIGURATION.format(port=self.port) + configuration)
        (server,) = self._programs.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
        self._process = self._child(server)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, self.log[-5000:]
            assert time.monotonic() < deadline, self.log[-5000:]
            time.sleep(0.1)

    def send(self, number: signal.Signals) -> None:
        """To every process of the node."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """kill -9; what it wrote stays."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self.send(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """As an operator does; what it still held in memory is on its disk afterwards."""
        assert self._process is not None
        self.send(signal.SIGTERM)
        self._process.wait(timeout=START_S)
        self._process = None

    def forget(self) -> None:
        """The next start finds an empty data directory."""
        self._empty += 1
        self._data = self._folder / f"data-{self._empty}"

    def end(self) -> None:
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def _child(self, *command: str | Path) -> "subprocess.Popen[bytes]":
        environment = {
            "PATH": f"{self._folder / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self._folder),  # the cookie's place
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"undercroft{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "none"),
            "RABBITMQ_MNESIA_BASE": str(self._data),
            "RABBITMQ_LOG_BASE": str(self._folder / "logs"),
        }
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        """It says what it is to whoever says AMQP 0-9-1."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return b"RabbitMQ" in connection.recv(4096)
        except OSError:
            return False


@cache
def programs() -> Path | None:
    """Where RabbitMQ and its Erlang lie; None where their packages cannot be fetched."""
    return unpacked("rabbitmq-server", *(f"erlang-{part}" for part in _ERLANG.split()))


@contextmanager
def running_rabbitmq(programs: Path) -> Iterator[RabbitServer]:
    """Ended at the end, with everything that it wrote."""
    with tempfile.TemporaryDirectory(prefix="undercroft-rabbit-", ignore_cleanup_errors=True) as folder:
        server = RabbitServer(Path(folder), programs)
        try:
            server.start()
            yield server
        finally:
            server.end()
