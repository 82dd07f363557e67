"""A model that loads in a thread while the server already answers."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Literal, TypeVar

from undercroft.errors import Unavailable

Loaded = TypeVar("Loaded")

RETRY_AFTER_S = 5.0


class Background(Generic[Loaded]):
    """Runs `load` once, in a thread of its own, when it is first wanted. `name` stands in what callers read.

    `load` says what is wrong by OSError, ValueError, RuntimeError or ImportError with one clear line.
    """

    def __init__(self, load: Callable[[], Loaded], *, name: str, timeout_s: float) -> None:
        self._load = load
        self._name = name
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._stage: Literal["idle", "loading", "ready", "failed", "closed"] = "idle"
        self._failure = ""
        self._held: list[Loaded] = []
        self._ended: Future[None] = Future()
        self._ended.set_running_or_notify_cancel()  # a waiter that is cancelled must not cancel it for all

    @property
    def state(self) -> str:
        """`idle`, `loading`, `ready`, `closed`, or `failed: ` and why."""
        return f"failed: {self._failure}" if self._stage == "failed" else self._stage

    def start(self) -> None:
        """Begins to load; returns at once."""
        with self._lock:
            if self._stage != "idle":
                return
            self._stage = "loading"
        threading.Thread(target=self._run, name=f"load {self._name}", daemon=True).start()

    async def get(self) -> Loaded:
        """What was loaded; waits for it up to the limit. Raises Unavailable."""
        self.start()
        if self._stage == "loading":
            await asyncio.wait([asyncio.wrap_future(self._ended)], timeout=self._timeout_s)
        with self._lock:
            if self._stage == "ready":
                return self._held[0]
        if self._stage == "loading":
            raise Unavailable(f"{self._name} is still loading.", code="model_loading", retry_after_s=RETRY_AFTER_S)
        raise Unavailable(f"{self._name} is not available ({self.state}).", code="model_unavailable")

    async def close(self) -> None:
        """Lets go of what was loaded, in a thread: a destructor may wait for threads of its own."""
        with self._lock:
            was_loading = self._stage == "loading"
            self._stage = "closed"
        if was_loading:
            await asyncio.wrap_future(self._ended)
        await asyncio.to_thread(self._held.clear)

    def _run(self) -> None:
        failure = ""
        try:
            self._held.append(self._load())
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            failure = " ".join(str(error).split()) or type(error).__name__
        with self._lock:
            if self._stage == "loading":
                self._stage, self._failure = ("failed" if failure else "ready"), failure
        self._ended.set_result(None)
