"""llama.cpp in this process: loads one GGUF in the background and runs generations on its slots.

The runtime blocks a thread per generation and calls back from it with OpenAI-shaped dicts; here that becomes something
a loop can await, bound and cancel. Its loopback listener opens whatever one does, so it gets a key nobody knows.
"""

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

from undercroft.errors import Unavailable
from undercroft.providers.local.cores import usable_cores
from undercroft.providers.local.loading import Background

Operation = Literal["chat", "completion"]
Piece = dict[str, Any]

PREFILL_BATCH_TOKENS = 128
"""How much of a prompt is read before others get a turn and a cancelled call is noticed: 0.3 s on two cores, where the
runtime's default of 2048 takes 4.5 s; reading is a tenth slower for it."""
SMALL_MODEL_BYTES = 300_000_000
SMALL_MODEL_THREADS = 2
"""Models below that size gain from a second thread (one answer 66 to 83 tokens/s, four at once 75 to 111, on two slow
cores) and lose by more. Beside a busy process the second loses (50 to 26): such machines set [local] threads = 1."""
BUSY_RETRY_AFTER_S = 2.0


class Generation:
    """Answers being made for one call: fed by the runtime's threads, read by the loop that asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: asyncio.Queue[tuple[int, Piece] | BaseException | None] = asyncio.Queue()
        self._futures: list[Future[None]] = []
        self._stopped = False

    def add(self, future: Future[None]) -> None:
        self._futures.append(future)
        future.add_done_callback(self._ended)

    def feed(self, index: int, piece: Piece) -> bool:
        """Called by the runtime, which swallows exceptions and stops when told True."""
        if not self._stopped and isinstance(piece, dict):
            self._tell((index, piece))
        return self._stopped

    def stop(self, reason: BaseException | None = None) -> None:
        """Ends what runs at its next piece and what waits at once; a reader gets the reason."""
        if reason is not None:
            self._tell(reason)
        self._stopped = True
        for future in self._futures:
            future.cancel()

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """What comes, with the index of the body it answers, until all have ended."""
        running = len(self._futures)
        while running:
            arrived = await self._arrived.get()
            if arrived is None:
                running -= 1
            elif isinstance(arrived, BaseException):
                raise arrived
            else:
                yield arrived

    def _ended(self, future: Future[None]) -> None:
        error = CancelledError() if future.cancelled() else future.exception()
        self._tell(None if self._stopped else error)

    def _tell(self, news: tuple[int, Piece] | BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, news)
        except RuntimeError:  # the reader's loop is closed: nobody is left to read
            self._stopped = True


class Engine:
    """A model that is loaded, or about to be."""

    def __init__(
        self,
        gguf: Path,
        *,
        slots: int,
        queue: int,
        context_tokens: int,
        threads: int | None,
        load_timeout_s: float,
    ) -> None:
        self.capacity = slots + queue
        """Generations that may run or wait."""
        load = partial(make_server, gguf, slots=slots, context_tokens=context_tokens, threads=threads)
        self._server: Background[Any] = Background(load, name="The local model", timeout_s=load_timeout_s)
        self._pool = ThreadPoolExecutor(max_workers=slots, thread_name_prefix="local-model")
        self._lock = threading.Lock()
        self._in_flight = 0
        self._active: set[Generation] = set()

    @property
    def state(self) -> str:
        """`idle`, `loading`, `ready`, `closed`, or `failed: ` and why."""
        return self._server.state

    @property
    def in_flight(self) -> int:
        """Generations that run or wait."""
        return self._in_flight

    def start(self) -> None:
        """Begins to load; returns at once."""
        self._server.start()

    async def begin(self, operation: Operation, bodies: Sequence[Mapping[str, Any]]) -> Generation:
        """Starts a generation for each body; waits for the model where it still loads."""
        self._admit(len(bodies))
        generation = Generation(asyncio.get_running_loop())
        submitted = 0
        try:
            server = await self._server.get()
            call = server.handle_chat_completions if operation == "chat" else server.handle_completions
            for index, body in enumerate(bodies):
                future = self._pool.submit(_run, call, body, partial(generation.feed, index))
                submitted += 1
                future.add_done_callback(lambda _: self._release(1))
                generation.add(future)
        except RuntimeError as error:  # the pool was shut down while this call waited
            generation.stop()
            raise Unavailable("The local model is shutting down.", code="model_unavailable") from error
        finally:
            self._release(len(bodies) - submitted)
        self._active.add(generation)
        return generation

    def end(self, generation: Generation) -> None:
        """The caller is done with it, read to its end or not."""
        generation.stop()
        self._active.discard(generation)

    async def close(self) -> None:
        """Stops what runs, within a piece's time, and gives the memory back."""
        for generation in list(self._active):
            generation.stop(Unavailable("The local model is shutting down.", code="model_unavailable"))
        await asyncio.to_thread(self._pool.shutdown)
        await self._server.close()

    def _admit(self, count: int) -> None:
        with self._lock:
            if self._in_flight + count > self.capacity:
                raise Unavailable(
                    f"The local model is busy: {self._in_flight} answers are being made or wait.",
                    code="model_busy",
                    hint="Try again soon, or raise [local] slots and queue.",
                    retry_after_s=BUSY_RETRY_AFTER_S,
                )
            self._in_flight += count

    def _release(self, count: int) -> None:
        with self._lock:
            self._in_flight -= count


def make_server(gguf: Path, *, slots: int, context_tokens: int, threads: int | None) -> Any:
    """The runtime with the model in it; raises with one clear line."""
    check_gguf(gguf)
    xllamacpp = _runtime()
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx, params.n_parallel = context_tokens, slots
    params.n_batch = params.n_ubatch = PREFILL_BATCH_TOKENS
    params.cpuparams_batch.n_threads = threads or usable_cores()
    is_small = gguf.stat().st_size < SMALL_MODEL_BYTES
    most = SMALL_MODEL_THREADS if is_small else usable_cores()
    params.cpuparams.n_threads = threads or min(most, usable_cores())
    params.cache_ram_mib = 0  # the default keeps up to 8 GB of old prompts; the slots keep their last one anyway
    params.warmup = False
    params.verbosity = -1
    params.api_keys = [secrets.token_hex(32)]
    params.ui = params.endpoint_slots = params.endpoint_props = False
    params.n_threads_http = 1
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise RuntimeError(f"llama.cpp cannot load {gguf}: damaged, cut short, or of an unknown kind") from error
    # The runtime's loop starts in a thread of its own. Told to stop before it runs, it never hears of it, and the
    # destructor waits for it for ever, with the interpreter's lock in its hand. A token (10 ms) shows that it runs.
    server.handle_completions({"prompt": "a", "n_predict": 1}, lambda _: False)
    return server


def _runtime() -> Any:
    # The wheel uses the system's libgomp, whose threads spin for a millisecond where they wait for each other. With one
    # other busy process on two cores, reading prompts fell from 460 to 75 tokens/s; with a short spin to 230, and an
    # idle machine loses nothing. It is read once, when the library is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        import xllamacpp
    except ModuleNotFoundError as error:
        raise ImportError("xllamacpp is not installed; type: pip install 'undercroft[local]'") from error
    except ImportError as error:
        hint = "; type: apt install libgomp1" if "libgomp" in str(error) else ""
        raise ImportError(f"llama.cpp cannot be loaded ({error}){hint}") from error
    return xllamacpp


def check_gguf(path: Path) -> None:
    """Finds what the runtime would not explain. Raises OSError or ValueError with one clear line."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror})") from error
    if magic != b"GGUF":
        raise ValueError(f"{path} is not a GGUF file")


def _run(call: Callable[..., Any], body: Mapping[str, Any], feed: Callable[[Piece], bool]) -> None:
    returned = call(dict(body), feed)
    if isinstance(returned, dict):  # some refusals come back instead of through the callback
        feed(returned)
