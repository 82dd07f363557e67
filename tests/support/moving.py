"""Calls through a Bench whose time moves while they wait."""

import asyncio
from typing import TypeVar

from tests.support.gateway import Bench
from undercroft.errors import UndercroftError

T = TypeVar("T")


async def read(bench: Bench, **options: object) -> str:
    """A call's whole text."""
    reply = await bench.gateway.send(bench.call(**options))  # type: ignore[arg-type]  # passed through
    return (await reply.read()).text()


async def outcome(bench: Bench, **options: object) -> UndercroftError | str:
    """A call's text, or what it failed with."""
    try:
        return await read(bench, **options)
    except UndercroftError as error:
        return error


async def moving(bench: Bench, work: "asyncio.Task[T]", *, seconds: float = 0.5) -> T:
    """Lets `work` run while time passes."""
    for _ in range(2000):
        if work.done():
            break
        await asyncio.sleep(0)
        bench.clock.advance(seconds)
    return await work


def text(bench: Bench, **options: object) -> str:
    """One call from its beginning to its end."""

    async def scene() -> str:
        return await moving(bench, asyncio.create_task(read(bench, **options)))

    return asyncio.run(scene())
