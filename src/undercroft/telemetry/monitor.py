"""`monitor_endpoint`: the four metrics for a user's own functions, in prometheus_client's default registry."""

import functools
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from undercroft.errors import UndercroftError
from undercroft.telemetry.exposition import Form
from undercroft.telemetry.instruments import LONGEST_LABEL, OTHER, SERIES_LIMIT
from undercroft.telemetry.metrics import LATENCY_BOUNDS_US, US_PER_S, Metrics
from undercroft.telemetry.slots import Labels

if TYPE_CHECKING:
    import prometheus_client
    from prometheus_client.metrics_core import Metric

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class _Instruments:
    """The four metrics as prometheus_client has them: several processes work as its users know it."""

    calls: "prometheus_client.Counter"
    errors: "prometheus_client.Counter"
    latency: "prometheus_client.Histogram"
    active: "prometheus_client.Gauge"


_instruments: _Instruments | None = None
_server: Metrics | None = None
_seen: Final[set[Labels]] = set()
_registering = threading.Lock()


@overload
def monitor_endpoint(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def monitor_endpoint(
    *, endpoint: str | None = None, model: str = "", provider: str = ""
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def monitor_endpoint(
    function: Callable[..., Any] | None = None,
    /,
    *,
    endpoint: str | None = None,
    model: str = "",
    provider: str = "",
) -> Any:
    """Counts, times and gauges the calls of a function, coroutine or generator; a generator until it ends or is closed.

    `endpoint` is the function's name unless given. Keyword arguments `model` and `provider` of a call become labels.
    Errors are counted by type and raised again. In a process that serves undercroft, `/metrics` shows these series too.
    """
    if function is None:
        return functools.partial(_monitored, endpoint=endpoint, model=model, provider=provider)
    return _monitored(function, endpoint=endpoint, model=model, provider=provider)


def attach(metrics: Metrics | None) -> None:
    """From now on monitored calls are counted in a server's metrics as well; None ends it."""
    global _server  # noqa: PLW0603 - decorators have no other way to learn of the server around them
    _server = metrics


def registered(form: Form, without: Collection[str]) -> str:
    """What else the default registry holds, as text; nothing unless `monitor_endpoint` is used in this process."""
    if _instruments is None:
        return ""
    import prometheus_client.openmetrics.exposition

    others = _Others(without)
    if form.is_openmetrics:
        generate = prometheus_client.openmetrics.exposition.generate_latest
        text: bytes = generate(others)  # type: ignore[no-untyped-call]  # prometheus_client left its types out
        return text.decode().removesuffix("# EOF\n")
    return prometheus_client.generate_latest(others).decode()


class _Others:
    """The default registry without some families."""

    def __init__(self, without: Collection[str]) -> None:
        self._without = without

    def collect(self) -> "Iterator[Metric]":
        import prometheus_client

        return (family for family in prometheus_client.REGISTRY.collect() if family.name not in self._without)


def _registered() -> _Instruments:
    global _instruments  # noqa: PLW0603 - the default registry is one, and takes each name once
    with _registering:
        if _instruments is None:
            from prometheus_client import Counter, Gauge, Histogram

            at = ("endpoint", "model", "provider")
            bounds = [bound / US_PER_S for bound in LATENCY_BOUNDS_US]
            _instruments = _Instruments(
                calls=Counter("ai_api_calls_total", "Calls of monitored functions.", at),
                errors=Counter("ai_api_errors_total", "Calls that failed, by the error's type.", (*at, "type")),
                latency=Histogram("ai_api_latency_seconds", "Duration of calls.", at, buckets=bounds),
                active=Gauge("ai_active_requests", "Calls that run right now.", at, multiprocess_mode="livesum"),
            )
        return _instruments


def _monitored(function: Callable[..., Any], *, endpoint: str | None, model: str, provider: str) -> Callable[..., Any]:
    instruments = _registered()
    name = endpoint or str(getattr(function, "__name__", type(function).__name__))

    def measure(arguments: dict[str, Any]) -> _Measured:
        return _Measured(instruments, _labels(name, arguments.get("model", model), arguments.get("provider", provider)))

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            with measure(kwargs):
                async with aclosing(function(*args, **kwargs)) as items:
                    async for item in items:
                        yield item

        return stream

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with measure(kwargs):
                return (yield from function(*args, **kwargs))

        return generate

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            with measure(kwargs):
                return await function(*args, **kwargs)

        return run

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with measure(kwargs):
            return function(*args, **kwargs)

    return call


def _labels(endpoint: str, model: object, provider: object) -> Labels:
    labels = (endpoint, _label(model), _label(provider))
    if labels in _seen:
        return labels
    if len(_seen) >= SERIES_LIMIT:
        return (endpoint, OTHER, OTHER)
    _seen.add(labels)
    return labels


def _label(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return value if len(value) <= LONGEST_LABEL and value.isprintable() else OTHER


class _Measured:
    """One call, from its first step to its last."""

    __slots__ = ("_instruments", "_labels", "_server", "_started")

    def __init__(self, instruments: _Instruments, labels: Labels) -> None:
        self._instruments = instruments
        self._labels = labels
        self._server = _server  # the same at the end as at the start, or the gauge would not come back to 0

    def __enter__(self) -> None:
        self._instruments.active.labels(*self._labels).inc()
        if self._server is not None:
            self._server.active.labels(*self._labels).add(1)
        self._started = time.perf_counter_ns()

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        duration_us = (time.perf_counter_ns() - self._started) // 1000
        failure = _failure(error)
        instruments, labels = self._instruments, self._labels
        instruments.active.labels(*labels).dec()
        instruments.calls.labels(*labels).inc()
        instruments.latency.labels(*labels).observe(duration_us / US_PER_S)
        if failure:
            instruments.errors.labels(*labels, failure).inc()
        if self._server is not None:
            self._server.active.labels(*labels).add(-1)
            self._server.calls.labels(*labels).add()
            self._server.latency.labels(*labels).observe(duration_us)
            if failure:
                self._server.errors.labels(*labels, failure).add()


def _failure(error: BaseException | None) -> str:
    """The error's type; a generator that its reader closes has not failed."""
    if error is None or isinstance(error, GeneratorExit):
        return ""
    return error.code if isinstance(error, UndercroftError) else type(error).__name__
