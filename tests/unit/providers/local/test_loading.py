"""A model that loads in the background: what callers see before, during and after."""

import asyncio
import contextlib
import threading

import pytest

from undercroft.errors import Unavailable
from undercroft.providers.local.loading import Background


class SlowModel:
    """Loads when it is let."""

    def __init__(self) -> None:
        self.may_load = threading.Event()
        self.loads = 0

    def load(self) -> str:
        assert self.may_load.wait(20)
        self.loads += 1
        return "a model"


def test_start_returns_at_once_and_calls_wait_for_one_load() -> None:
    slow = SlowModel()
    background = Background(slow.load, name="The model", timeout_s=20)
    assert background.state == "idle"

    async def run() -> list[str]:
        background.start()
        background.start()
        assert background.state == "loading"
        waiting = [asyncio.create_task(background.get()) for _ in range(3)]
        await asyncio.sleep(0)
        slow.may_load.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(run()) == ["a model"] * 3
    assert (background.state, slow.loads) == ("ready", 1)


def test_a_call_that_waits_too_long_is_told_when_to_come_back_and_the_load_goes_on() -> None:
    slow = SlowModel()
    background = Background(slow.load, name="The model", timeout_s=0.05)

    async def run() -> str:
        with pytest.raises(Unavailable, match="still loading") as caught:
            await background.get()
        assert caught.value.code == "model_loading"
        assert caught.value.retry_after_s
        slow.may_load.set()
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(Unavailable):
                    return await background.get()

    assert asyncio.run(run()) == "a model"


def test_a_caller_who_leaves_does_not_stop_the_load_for_others() -> None:
    slow = SlowModel()
    background = Background(slow.load, name="The model", timeout_s=20)

    async def run() -> str:
        leaver, stayer = asyncio.create_task(background.get()), asyncio.create_task(background.get())
        await asyncio.sleep(0.01)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        slow.may_load.set()
        return await stayer

    assert asyncio.run(run()) == "a model"


def test_a_failed_load_is_told_in_one_line_to_every_call() -> None:
    def load() -> str:
        raise ValueError("the file\nis no model")

    background = Background(load, name="The model", timeout_s=20)
    for _ in range(2):
        with pytest.raises(Unavailable, match="failed: the file is no model") as caught:
            asyncio.run(background.get())
        assert (caught.value.status, caught.value.code) == (503, "model_unavailable")
    assert background.state == "failed: the file is no model"


def test_closing_in_the_middle_of_a_load_waits_for_it_and_lets_go() -> None:
    slow = SlowModel()
    background = Background(slow.load, name="The model", timeout_s=20)

    async def run() -> None:
        background.start()
        closing = asyncio.create_task(background.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        slow.may_load.set()
        await closing
        with pytest.raises(Unavailable, match="closed"):
            await background.get()

    asyncio.run(run())
    assert (background.state, slow.loads) == ("closed", 1)
