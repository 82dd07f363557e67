"""A process is known by when it was started: its pid alone may be another's by now."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest
from msgspec.structs import replace

from undercroft.hosting.processes import boot, hold, identify

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="pidfds are Linux's")]


@contextmanager
def sleeping() -> Iterator["Popen[bytes]"]:
    with Popen(["sleep", "60"]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_process_is_itself_and_no_other() -> None:
    one, again = identify(os.getpid()), identify(os.getpid())

    assert one is not None
    assert one == again
    assert one.boot == boot()


def test_a_pid_that_another_process_has_now_is_not_taken_for_the_former() -> None:
    with sleeping() as process:
        found = identify(process.pid)
        assert found is not None

        assert hold(replace(found, born=found.born - 1)) is None
        assert hold(replace(found, boot="another")) is None


async def test_the_end_of_a_process_that_is_held_is_noticed() -> None:
    with sleeping() as process:
        found = identify(process.pid)
        assert found is not None
        held = hold(found)
        assert held is not None

        gives_up = asyncio.create_task(held.ended())
        await asyncio.sleep(0)
        gives_up.cancel()
        others = [asyncio.create_task(held.ended()) for _ in range(2)]
        held.signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*others), 10)
        held.signal(signal.SIGTERM)  # nobody is hit, and nothing raised
        held.close()


def test_what_has_ended_is_nobody() -> None:
    with sleeping() as process:
        process.kill()
        process.wait()

        assert identify(process.pid) is None
