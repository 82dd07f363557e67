"""`undercroft.generate`: one completion through the whole pipeline, without a server."""

import asyncio
import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from undercroft.assembly import Undercroft, assemble
from undercroft.gateway.call import Call
from undercroft.llm.types import ChatRequest, Message
from undercroft.record import Who


def generate(prompt: str, *, model: str | None = None) -> str:
    """The text of one answer. Settings are read as `undercroft serve` reads them; the call is booked like any other.

    The first call starts what all later ones share; in a route of your own (`create_app(routes=…)`) it is the
    application that serves it. Raises UndercroftError kinds, and RuntimeError where it would wait for itself.
    """
    borrowed = _lent.get()
    if borrowed is not None and borrowed.loop is _loop_here():
        raise RuntimeError("generate would stop the event loop that is to answer it: await undercroft.agenerate here")
    running = borrowed or _running()
    return asyncio.run_coroutine_threadsafe(_answer(running, prompt, model), running.loop).result()


def _loop_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def agenerate(prompt: str, *, model: str | None = None) -> str:
    """`generate` for coroutines, on any event loop."""
    borrowed = _lent.get()
    if borrowed is not None and borrowed.loop is asyncio.get_running_loop():
        return await _answer(borrowed, prompt, model)
    running = await asyncio.to_thread(_running) if borrowed is None else borrowed
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_answer(running, prompt, model), running.loop))


async def _answer(running: "_Running", prompt: str, model: str | None) -> str:
    undercroft = running.undercroft
    started = undercroft.clock.monotonic()
    call = Call(
        id=undercroft.ids.new("req_"),
        endpoint="generate",
        who=running.who,
        request=ChatRequest(model=model or "", messages=(Message(role="user", content=prompt),)),
        started_us=undercroft.clock.now_us(),
        started=started,
        deadline=started + undercroft.settings.server.request_timeout_s,
    )
    reply = await undercroft.gateway.send(call)
    return (await reply.read()).text()


@dataclass(frozen=True, slots=True)
class _Running:
    """An undercroft on its event loop: by default one of its own, in a thread that lives as long as the program."""

    undercroft: Undercroft
    loop: asyncio.AbstractEventLoop
    who: Who


_lent: ContextVar[_Running | None] = ContextVar("undercroft_lent", default=None)


@contextmanager
def lent(undercroft: Undercroft, who: Who) -> Iterator[None]:
    """In the block, `generate` and `agenerate` use this undercroft, and book on this caller."""
    token = _lent.set(_Running(undercroft, asyncio.get_running_loop(), who))
    try:
        yield
    finally:
        _lent.reset(token)


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
    return _Running(undercroft, loop, Who())
