"""The supervisor with small children: what it starts, replaces, gives up and stops, and in which order."""

import asyncio
import itertools
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.server import until
from undercroft.api.binding import PortTaken, bind
from undercroft.api.supervisor import (
    LONGEST_PAUSE_S,
    MOST_FAILED_STARTS,
    Child,
    Supervisor,
    open_sockets,
    pause_after,
)

PRELUDE = """
import os, signal, socket, sys, time
folder, *rest = sys.argv[1:]
lifeline, status = (int(sys.argv[sys.argv.index(name) + 1]) for name in ("--lifeline", "--status"))

def note(what):
    with open(os.path.join(folder, "notes"), "a") as notes:
        notes.write(f"{what} {time.monotonic()}\\n")

def ready():
    note(f"ready-{rest[0]}")
    os.write(status, b"\\n")
    os.close(status)

def wait():
    signal.sigwait({signal.SIGTERM, signal.SIGINT})

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
"""
OBEDIENT = "ready(); wait(); note(f'ended-{rest[0]}')"
STUBBORN = "ready(); os.read(lifeline, 1)"
SPEECHLESS = "note('started'); sys.exit(3)"
FAILING = "note('started'); os.write(status, b'the cellar is flooded'); sys.exit(1)"
CRASHING = "note('started'); os.kill(os.getpid(), signal.SIGSEGV)"
SLOW = "note('started'); wait()"
ANSWERS_ONCE = """
listener = socket.socket(fileno=int(rest[1]))
ready()
connection, _ = listener.accept()
connection.sendall(str(os.getpid()).encode())
"""


class Family:
    """Children in a folder where they note what they do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def child(self, program: str, *, name: str = "a", serves_others: bool = False) -> Child:
        return Child(name, self._command(program, name), serves_others=serves_others)

    def on(self, listener: socket.socket, program: str, *, name: str = "a") -> Child:
        return Child(name, self._command(program, name, str(listener.fileno())), listener)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [sys.executable, "-ISc", PRELUDE + program, str(self._folder), *arguments]

    @property
    def notes(self) -> list[str]:
        return [line.split()[0] for line in self._lines()]

    @property
    def pauses(self) -> list[float]:
        """Seconds between one note and the next."""
        times = [float(line.split()[1]) for line in self._lines()]
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    def _lines(self) -> list[str]:
        notes = self._folder / "notes"
        return notes.read_text().splitlines() if notes.exists() else []


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


def supervised(
    *children: Child,
    meanwhile: Callable[[Supervisor], Awaitable[None]] | None = None,
    grace_s: float = 30,
    first_pause_s: float = 0.01,
) -> str:
    """What `run` returns; once everybody was ready, `meanwhile` happens, and then it is told to stop."""

    async def main() -> str:
        supervisor = Supervisor(children, grace_s=grace_s, kill_after_s=0, first_pause_s=first_pause_s)
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(30):
            if await supervisor.all_ready():
                if meanwhile is not None:
                    await meanwhile(supervisor)
                supervisor.stop()
            return await running

    return asyncio.run(main())


def test_it_runs_its_children_until_it_is_told_to_stop(family: Family) -> None:
    assert supervised(family.child(OBEDIENT), family.child(OBEDIENT, name="b")) == ""
    assert sorted(family.notes) == ["ended-a", "ended-b", "ready-a", "ready-b"]


def test_who_serves_others_stops_when_they_are_gone(family: Family) -> None:
    dawdling = "ready(); wait(); time.sleep(0.2); note(f'ended-{rest[0]}')"
    assert supervised(family.child(OBEDIENT, name="host", serves_others=True), family.child(dawdling)) == ""
    assert family.notes[2:] == ["ended-a", "ended-host"]


def test_a_replaced_child_serves_what_queued_on_its_predecessors_socket(family: Family) -> None:
    (listener,) = open_sockets("127.0.0.1", 0, 1)
    address = listener.getsockname()
    answers: list[bytes] = []

    async def knock(_: Supervisor) -> None:
        connections = [await asyncio.open_connection(*address) for _ in range(3)]
        for reader, writer in connections:
            answers.append(await reader.read())
            writer.close()

    assert supervised(family.on(listener, ANSWERS_ONCE), meanwhile=knock) == ""
    assert len(set(answers)) == 3
    assert all(answer.isdigit() for answer in answers)


def test_when_it_stops_nobody_can_queue_at_a_door_that_stays_shut(family: Family) -> None:
    (listener,) = open_sockets("127.0.0.1", 0, 1)
    address = listener.getsockname()
    winding_down = "ready(); wait(); socket.socket(fileno=int(rest[1])).close(); note('closed'); time.sleep(0.3)"

    async def main() -> None:
        supervisor = Supervisor([family.on(listener, winding_down)], grace_s=30)
        running = asyncio.create_task(supervisor.run())
        assert await supervisor.all_ready()
        supervisor.stop()
        await asyncio.to_thread(until, lambda: "closed" in family.notes)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        assert not running.done()
        await running

    asyncio.run(main())


@pytest.mark.parametrize(
    ("program", "why"),
    [(FAILING, "the cellar is flooded"), (SPEECHLESS, "exit code 3"), (CRASHING, "signal 11 (Segmentation fault)")],
)
def test_a_child_that_never_starts_is_given_up_with_its_last_words(family: Family, program: str, why: str) -> None:
    failure = supervised(family.child(program), family.child(OBEDIENT, name="b"))
    assert failure == f"a failed to start {MOST_FAILED_STARTS} times in a row: {why}"
    assert family.notes.count("started") == MOST_FAILED_STARTS
    assert family.notes[-1] == "ended-b"


def test_the_pauses_between_starts_grow(family: Family) -> None:
    supervised(family.child(SPEECHLESS), first_pause_s=0.05)
    pauses = family.pauses
    assert all(pause >= 0.05 * 2**number for number, pause in enumerate(pauses))
    assert len(pauses) == MOST_FAILED_STARTS - 1


def test_a_program_that_is_not_there_is_given_up_too() -> None:
    failure = supervised(Child("a", ["/nowhere/python"]))
    assert failure.endswith("/nowhere/python: No such file or directory")


def test_a_child_that_starts_and_soon_dies_is_replaced_again_and_again_after_pauses(family: Family) -> None:
    async def some_lives(_: Supervisor) -> None:
        await asyncio.to_thread(until, lambda: family.notes.count("ready-a") > MOST_FAILED_STARTS)

    assert supervised(family.child("ready()"), meanwhile=some_lives) == ""
    pauses = family.pauses
    assert all(pause >= 0.01 * 2**number for number, pause in enumerate(pauses))


def test_a_second_stop_ends_who_does_not_listen(family: Family) -> None:
    async def insist(supervisor: Supervisor) -> None:
        supervisor.stop()

    assert supervised(family.child(STUBBORN), meanwhile=insist) == ""


def test_who_does_not_end_in_time_is_ended(family: Family) -> None:
    assert supervised(family.child(STUBBORN), grace_s=0.1) == ""


def test_a_stop_reaches_who_is_only_just_starting(family: Family) -> None:
    async def main() -> None:
        supervisor = Supervisor([family.child(SLOW)], grace_s=30)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(0)
        supervisor.stop()
        assert not await supervisor.all_ready()
        async with asyncio.timeout(10):
            assert await running == ""

    asyncio.run(main())


# --- sockets and pauses -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="one socket is shared where connections are not spread")
def test_each_worker_has_a_socket_of_its_own_on_the_same_port() -> None:
    sockets = open_sockets("127.0.0.1", 0, 3)
    try:
        assert len({sock.fileno() for sock in sockets}) == 3
        assert len({sock.getsockname() for sock in sockets}) == 1
        for sock in sockets:
            sock.settimeout(0)
        callers = [socket.create_connection(sockets[0].getsockname()) for _ in range(60)]
        reached = [accepted(sock) for sock in sockets]
        assert sum(reached) == 60
        assert all(reached)
        for caller in callers:
            caller.close()
    finally:
        for sock in sockets:
            sock.close()


def accepted(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_port_that_another_server_shares_among_its_workers_is_taken() -> None:
    sockets = open_sockets("127.0.0.1", 0, 2)
    port = sockets[0].getsockname()[1]
    try:
        with pytest.raises(PortTaken, match=f"Port {port} on 127.0.0.1 is taken"):
            open_sockets("127.0.0.1", port, 2)
        with pytest.raises(PortTaken):
            bind("127.0.0.1", port)
    finally:
        for sock in sockets:
            sock.close()


def test_a_steady_worker_is_replaced_at_once_and_others_after_doubling_pauses() -> None:
    assert [pause_after(lives) for lives in range(5)] == [0, 0.1, 0.2, 0.4, 0.8]
    assert pause_after(7) == pause_after(100_000) == LONGEST_PAUSE_S
