"""`undercroft.generate`: one completion through the whole pipeline, without a server."""

import asyncio
import atexit
import os
import threading
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from undercroft.assembly import Undercroft, assemble
from undercroft.gateway.call import Call
from undercroft.llm.types import ChatRequest, Message
from undercroft.record import Who


def generate(prompt: str, *, model: str | None = None) -> str:
    """The text of one answer. Settings are read as `undercroft serve` reads them; the call is booked like any other.

    The first call starts what all later ones share. Raises UndercroftError kinds.
    """
    return asyncio.run_coroutine_threadsafe(_answer(prompt, model), _running().loop).result()


async def agenerate(prompt: str, *, model: str | None = None) -> str:
    """`generate` for coroutines, on any event loop."""
    running = await asyncio.to_thread(_running)
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_answer(prompt, model), running.loop))


async def _answer(prompt: str, model: str | None) -> str:
    undercroft = _running().undercroft
    started = undercroft.clock.monotonic()
    call = Call(
        id=undercroft.ids.new("req_"),
        endpoint="generate",
        who=Who(),
        request=ChatRequest(model=model or "", messages=(Message(role="user", content=prompt),)),
        started_us=undercroft.clock.now_us(),
        started=started,
        deadline=started + undercroft.settings.server.request_timeout_s,
    )
    reply = await undercroft.gateway.send(call)
    return (await reply.read()).text()


@dataclass(frozen=True, slots=True)
class _Running:
    """An undercroft on an event loop of its own, in a thread that lives as long as the program."""

    undercroft: Undercroft
    loop: asyncio.AbstractEventLoop


_starting = threading.Lock()
_started: _Running | None = None


def _running() -> _Running:
    global _started  # noqa: PLW0603 - one for the whole program: a client per call is the trap this avoids
    with _starting:
        if _started is None:
            _started = _start()
        return _started


def _start() -> _Running:
    from undercroft.settings.sources import load

    settings = load(config=None, environment=os.environ, directory=Path.cwd()).settings
    # A program that asks a model a question does not do the jobs of the server whose folder it runs in.
    settings = settings.model_copy(update={"server": settings.server.model_copy(update={"role": "gateway"})})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="undercroft", daemon=True)
    thread.start()
    stack = AsyncExitStack()
    assembled = stack.enter_async_context(assemble(settings, log_calls=False))
    undercroft = asyncio.run_coroutine_threadsafe(assembled, loop).result()

    def stop() -> None:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    atexit.register(stop)
    return _Running(undercroft, loop)
