"""`undercroft.cached_completion`: a function's answers, kept as the gateway keeps a model's."""

import asyncio
import copy
import functools
import inspect
import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, overload

import msgspec

from undercroft.assembly.lending import borrowed
from undercroft.cache.key import Keys
from undercroft.clock import Clock, SystemClock

P = ParamSpec("P")
T = TypeVar("T")
Function = Callable[P, T]


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """As `functools.lru_cache` tells it."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


@overload
def cached_completion(function: Function[P, T], /) -> Function[P, T]: ...
@overload
def cached_completion(
    function: None = None, /, *, maxsize: int = 1000, ttl: float | None = None
) -> Callable[[Function[P, T]], Function[P, T]]: ...
def cached_completion(
    function: Any = None, /, *, maxsize: int = 1000, ttl: float | None = None, clock: Clock | None = None
) -> Any:
    """Remembers what a function (or coroutine function) returned for the same arguments, `ttl` seconds long.

    All arguments count, by what they say, and so does the tenant: the organisation for which a route or job of yours
    runs. Of calls that ask the same at the same time one runs and all get its outcome; an exception is raised to all
    of them and not remembered. Every caller gets a copy of its own. The oldest answers go when there are more than
    `maxsize`. The decorated function has `cache_info()` and `cache_clear()`.

    Raises TypeError for a generator function, and in a call for an argument that is no data (pass what identifies it
    instead); ValueError for a `maxsize` below 1 or a `ttl` that is not above 0.
    """
    if maxsize < 1 or (ttl is not None and not ttl > 0):
        raise ValueError("cached_completion takes a maxsize of at least 1, and a ttl in seconds above 0 or None")

    def decorate(wrapped: Any) -> Any:
        if inspect.isgeneratorfunction(wrapped) or inspect.isasyncgenfunction(wrapped):
            raise TypeError(f"{wrapped.__qualname__} yields pieces; cached_completion keeps what a function returns")
        answers = _Answers(wrapped, maxsize=maxsize, ttl=ttl, clock=clock or SystemClock())
        return answers.coroutine() if inspect.iscoroutinefunction(wrapped) else answers.plain()

    return decorate if function is None else decorate(function)


def _as_data(value: Any) -> Any:
    """Pydantic's models, and what else can say what it is; anything else has no meaning that could be compared."""
    for method in ("model_dump", "to_dict"):
        if callable(dump := getattr(value, method, None)):
            return {"": f"{type(value).__module__}.{type(value).__qualname__}", "is": dump()}
    raise TypeError(f"an argument of type {type(value).__qualname__} is no data, so its answers cannot be kept")


_written: Final = msgspec.msgpack.Encoder(order="deterministic", enc_hook=_as_data)


class _Answers:
    """One function's, for all threads and loops."""

    def __init__(self, function: Callable[..., Any], *, maxsize: int, ttl: float | None, clock: Clock) -> None:
        self._function = function
        self._signature = inspect.signature(function)
        self._keys = Keys(os.urandom(32))  # an id tells nobody what was asked
        self._maxsize = maxsize
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._under_way: dict[object, Any] = {}
        self._hits = self._misses = 0

    def plain(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        def call(*arguments: Any, **named: Any) -> Any:
            key = self._key(arguments, named)
            with self._lock:
                found = self._found(key)
                if found is not None:
                    return copy.deepcopy(found[1])
                flight: Future[Any] | None = self._under_way.get(key)
                is_first = flight is None
                if flight is None:
                    flight = self._under_way[key] = Future()
            if is_first:
                self._fly(key, flight, arguments, named)
            return copy.deepcopy(flight.result())

        return self._equipped(call)

    def _fly(self, key: str, flight: "Future[Any]", arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        try:
            answer = self._function(*arguments, **named)
        except BaseException as error:  # noqa: BLE001 - raised to all who wait, the caller among them
            self._land(key, key)
            flight.set_exception(error)
        else:
            self._land(key, key, answer)
            flight.set_result(answer)

    def coroutine(self) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(self._function)
        async def call(*arguments: Any, **named: Any) -> Any:
            key = self._key(arguments, named)
            place = (key, id(asyncio.get_running_loop()))  # a task belongs to its loop
            with self._lock:
                found = self._found(key)
                if found is not None:
                    return copy.deepcopy(found[1])
                flight: _Flight | None = self._under_way.get(place)
                if flight is None:
                    task = asyncio.ensure_future(self._run(key, place, arguments, named))
                    flight = self._under_way[place] = _Flight(task)
            return copy.deepcopy(await flight.outcome())

        return self._equipped(call)

    async def _run(self, key: str, place: object, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        try:
            answer = await self._function(*arguments, **named)
        except BaseException:
            self._land(key, place)
            raise
        self._land(key, place, answer)
        return answer

    def _key(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> str:
        bound = self._signature.bind(*arguments, **named)
        bound.apply_defaults()
        line = borrowed()
        tenant = "" if line is None else line.who.organisation
        said = [[name, type(value).__name__, _written.encode(value)] for name, value in bound.arguments.items()]
        return self._keys.of(tenant, said)

    def _found(self, key: str) -> tuple[float, Any] | None:
        """Under the lock."""
        kept = self._kept.get(key)
        if kept is not None and (self._ttl is None or kept[0] > self._clock.monotonic()):
            self._hits += 1
            self._kept.move_to_end(key)
            return kept
        self._misses += 1
        self._kept.pop(key, None)
        return None

    def _land(self, key: str, place: object, *answers: Any) -> None:
        """The flight is over; with an answer, that is kept."""
        with self._lock:
            self._under_way.pop(place, None)
            for answer in answers:
                self._kept[key] = (self._clock.monotonic() + (self._ttl or 0.0), copy.deepcopy(answer))
                while len(self._kept) > self._maxsize:
                    self._kept.popitem(last=False)

    def _equipped(self, wrapper: Callable[..., T]) -> Callable[..., T]:
        call: Any = wrapper
        call.cache_info = self._info
        call.cache_clear = self._clear
        return wrapper

    def _info(self) -> CacheInfo:
        with self._lock:
            return CacheInfo(self._hits, self._misses, self._maxsize, len(self._kept))

    def _clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._hits = self._misses = 0


class _Flight:
    """A task that several wait for; it ends when the last of them has left."""

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self._task = task
        self._waiting = 0

    async def outcome(self) -> Any:
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting and not self._task.done():
                self._task.cancel()
