"""`undercroft.generate`: one completion through the whole pipeline, without a server."""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from undercroft.assembly import assemble
from undercroft.assembly.lending import Line, borrowed
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.record import Who


def generate(prompt: str, *, model: str | None = None) -> str:
    """The text of one answer. Settings are read as `undercroft serve` reads them; the call is booked like any other.

    The first call starts what all later ones share; in a route of your own (`create_app(routes=…)`) it is the
    application that serves it. Raises UndercroftError kinds, and RuntimeError where it would wait for itself.
    """
    line = borrowed()
    if line is not None and line.loop is _loop_here():
        raise RuntimeError("generate would stop the event loop that is to answer it: await undercroft.agenerate here")
    line = line or _own()
    return asyncio.run_coroutine_threadsafe(line.ask(prompt, model), line.loop).result()


def _loop_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def agenerate(prompt: str, *, model: str | None = None) -> str:
    """`generate` for coroutines, on any event loop."""
    line = borrowed()
    if line is not None and line.loop is asyncio.get_running_loop():
        return await line.ask(prompt, model)
    own = await asyncio.to_thread(_own) if line is None else line
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(own.ask(prompt, model), own.loop))


_starting = threading.Lock()
_started: Line | None = None


def _own() -> Line:
    global _started  # noqa: PLW0603 - one for the whole program: a client per call is the trap this avoids
    with _starting:
        if _started is None:
            _started = _start()
        return _started


def _start() -> Line:
    """An undercroft on an event loop of its own, in a thread that lives as long as the program."""
    from undercroft.settings.sources import load

    settings = load(config=None, environment=os.environ, directory=Path.cwd(), stored=encrypted_store).settings
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

    _before_executors_close(stop)
    return Line(
        gateway=undercroft.gateway,
        ids=undercroft.ids,
        clock=undercroft.clock,
        timeout_s=settings.server.request_timeout_s,
        loop=loop,
        who=Who(),
    )


def _before_executors_close(stop: Callable[[], None]) -> None:
    """At exit, while threads can still be asked for work: what `atexit` knows runs after concurrent.futures has ended,
    which closes itself by this function of `threading` and has no public one like it."""
    register: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
    register(stop)
