"""How long anyone waits for a work, and what becomes of it."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from undercroft.errors import Unavailable
from undercroft.storage.transaction import finished, finished_sync


def begun() -> Future[int]:
    future: Future[int] = Future()
    assert future.set_running_or_notify_cancel()
    return future


def in_a_loop(future: Future[int], wait_s: float) -> int:
    return asyncio.run(finished(future, wait_s=wait_s))


def in_a_thread(future: Future[int], wait_s: float) -> int:
    return finished_sync(future, wait_s=wait_s)


both = pytest.mark.parametrize("wait", [in_a_loop, in_a_thread])


@both
def test_a_work_whose_turn_does_not_come_is_dropped_and_its_caller_told(wait: Callable[..., int]) -> None:
    future: Future[int] = Future()
    with pytest.raises(Unavailable, match="had to wait too long") as caught:
        wait(future, 0.01)
    assert caught.value.retry_after_s
    assert not future.set_running_or_notify_cancel()


def test_a_work_that_was_begun_is_waited_for_beyond_its_turn() -> None:
    async def scenario() -> int:
        future = begun()
        asyncio.get_running_loop().call_later(0.05, future.set_result, 7)
        return await finished(future, wait_s=0.01)

    assert asyncio.run(scenario()) == 7


def test_a_work_that_never_answers_does_not_keep_its_caller_for_ever() -> None:
    """As when the server is frozen: it neither answers nor breaks the connection."""
    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(finished(begun(), wait_s=0.01, answer_s=0.01))


@both
def test_the_works_own_timeout_error_arrives_as_it_is(wait: Callable[..., int]) -> None:
    future = begun()
    future.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        wait(future, 1)


def test_a_work_whose_caller_leaves_is_dropped_before_its_turn_and_finished_after() -> None:
    async def leave(future: Future[int]) -> None:
        waiting = asyncio.create_task(finished(future))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    waiting: Future[int] = Future()
    asyncio.run(leave(waiting))
    assert waiting.cancelled()
    running = begun()
    asyncio.run(leave(running))
    running.set_result(7)
    assert running.result() == 7


def test_what_was_read_is_gone_with_whoever_read_it() -> None:
    class Piece:
        """Of a file, say."""

    async def read() -> "weakref.ref[Piece]":
        future: Future[Piece] = Future()
        asyncio.get_running_loop().call_soon(lambda: future.set_result(Piece()))
        return weakref.ref(await finished(future))

    gc.disable()
    try:
        assert asyncio.run(read())() is None
    finally:
        gc.enable()
