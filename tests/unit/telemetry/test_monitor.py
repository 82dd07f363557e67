"""The decorator for users' own functions."""

import asyncio
import functools
import inspect
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from prometheus_client import REGISTRY, Counter
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.clock import ManualClock
from undercroft.errors import UpstreamTimedOut
from undercroft.telemetry import monitor
from undercroft.telemetry.instruments import SERIES_LIMIT
from undercroft.telemetry.metrics import Metrics
from undercroft.telemetry.monitor import attach, monitor_endpoint, registered

SLEEP_S = 0.05


class Counts:
    """What the default registry says of an endpoint now, since it was made."""

    def __init__(self, endpoint: str, model: str = "", provider: str = "") -> None:
        self._labels = {"endpoint": endpoint, "model": model, "provider": provider}
        self._before = {name: self._now(name) for name in ("ai_api_calls_total", "ai_api_latency_seconds_sum")}

    def _now(self, name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {**self._labels, **labels}) or 0.0

    @property
    def calls(self) -> float:
        return self._now("ai_api_calls_total") - self._before["ai_api_calls_total"]

    @property
    def seconds(self) -> float:
        return self._now("ai_api_latency_seconds_sum") - self._before["ai_api_latency_seconds_sum"]

    @property
    def active(self) -> float:
        return self._now("ai_active_requests")

    def errors(self, type: str) -> float:
        return self._now("ai_api_errors_total", type=type)


def test_a_function_is_counted_and_timed() -> None:
    counts = Counts("plain")
    seen: list[float] = []

    @monitor_endpoint
    def plain(number: int, *, add: int = 1) -> int:
        """Adds."""
        seen.append(counts.active)
        time.sleep(SLEEP_S)
        return number + add

    assert plain(1, add=2) == 3
    assert (counts.calls, counts.active, seen) == (1, 0, [1])
    assert counts.seconds >= SLEEP_S


def test_a_coroutines_run_is_measured_and_not_its_creation() -> None:
    counts = Counts("run")

    @monitor_endpoint
    async def run() -> str:
        await asyncio.sleep(SLEEP_S)
        return "done"

    async def main() -> None:
        coroutine = run()
        assert (counts.calls, counts.active) == (0, 0)
        task = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0)
        assert (counts.calls, counts.active) == (0, 1)
        assert await task == "done"

    asyncio.run(main())
    assert (counts.calls, counts.active) == (1, 0)
    assert counts.seconds >= SLEEP_S * 0.9


def test_an_async_generator_is_measured_until_it_ends() -> None:
    counts = Counts("stream")

    @monitor_endpoint
    async def stream(count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(SLEEP_S)
            yield number

    async def main() -> None:
        seen = []
        async for number in stream(3):
            assert (counts.calls, counts.active) == (0, 1)
            seen.append(number)
        assert seen == [0, 1, 2]

    asyncio.run(main())
    assert (counts.calls, counts.active) == (1, 0)
    assert counts.seconds >= 3 * SLEEP_S * 0.9


def test_an_async_generator_that_is_left_early_is_closed_and_no_error() -> None:
    counts = Counts("left")
    closed: list[bool] = []

    @monitor_endpoint
    async def left() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    async def main() -> None:
        async with aclosing(left()) as items:
            async for _ in items:
                break

    asyncio.run(main())
    assert (counts.calls, counts.active, closed) == (1, 0, [True])
    assert counts.errors("GeneratorExit") == 0


def test_a_generator_keeps_send_and_return() -> None:
    counts = Counts("talk")

    @monitor_endpoint
    def talk() -> Generator[int, int, str]:
        got = yield 1
        got += yield got
        return f"sum {got}"

    generator = talk()
    assert counts.active == 0
    assert next(generator) == 1
    assert generator.send(5) == 5
    assert counts.active == 1
    with pytest.raises(StopIteration) as end:
        generator.send(6)
    assert end.value.value == "sum 11"
    assert (counts.calls, counts.active) == (1, 0)


@pytest.mark.parametrize(
    ("error", "type"), [(KeyError("x"), "KeyError"), (UpstreamTimedOut("slow"), "upstream_timeout")]
)
def test_errors_are_counted_by_type_and_raised_again(error: Exception, type: str) -> None:
    counts = Counts("failing")
    before = counts.errors(type)

    @monitor_endpoint(endpoint="failing")
    def plain() -> None:
        raise error

    @monitor_endpoint(endpoint="failing")
    async def run() -> None:
        raise error

    @monitor_endpoint(endpoint="failing")
    def generate() -> Iterator[int]:
        yield 1
        raise error

    @monitor_endpoint(endpoint="failing")
    async def stream() -> AsyncIterator[int]:
        yield 1
        raise error

    async def drain() -> None:
        async for _ in stream():
            pass

    for call in (plain, lambda: asyncio.run(run()), lambda: list(generate()), lambda: asyncio.run(drain())):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the very same object, which is more than its type
            call()
        assert caught.value is error
    assert (counts.calls, counts.active) == (4, 0)
    assert counts.errors(type) - before == 4


def test_a_cancelled_call_is_an_error_of_its_own_type() -> None:
    counts = Counts("cancelled")

    @monitor_endpoint
    async def cancelled() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.ensure_future(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert (counts.calls, counts.active, counts.errors("CancelledError")) == (1, 0, 1)


def test_name_signature_and_kind_stay() -> None:
    async def run(a: int, *, b: str = "x") -> str:
        """Runs."""
        return b

    async def stream(a: int) -> AsyncIterator[int]:
        yield a

    def generate(a: int) -> Iterator[int]:
        yield a

    def plain(a: int) -> int:
        return a

    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    for function in (run, stream, generate, plain):
        wrapped: Any = monitor_endpoint(function)
        assert inspect.signature(wrapped) == inspect.signature(function)
        assert (wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__) == (
            function.__name__,
            function.__doc__,
            function,
        )
        assert [kind(wrapped) for kind in kinds] == [kind(function) for kind in kinds]


def test_labels_come_from_the_decorator_and_from_keyword_arguments() -> None:
    @monitor_endpoint(endpoint="/ask", provider="openai")
    def ask(prompt: str, *, model: object = None, provider: str = "") -> None: ...

    fixed, given = Counts("/ask", "", "openai"), Counts("/ask", "gpt", "azure")
    strange, long = Counts("/ask", "", "openai"), Counts("/ask", "other", "openai")
    ask("x")
    ask("x", model="gpt", provider="azure")
    assert (fixed.calls, given.calls) == (1, 1)
    ask("x", model=5)
    ask("x", model="m" * 300)
    assert (strange.calls, long.calls) == (2, 1)


def test_methods_and_partials_work_too() -> None:
    class Service:
        @monitor_endpoint
        def method(self, number: int) -> int:
            return number

        @staticmethod
        @monitor_endpoint
        def static(number: int) -> int:
            return number

    partial = monitor_endpoint(functools.partial(pow, 2), endpoint="partial")  # type: ignore[call-overload]
    assert (Service().method(1), Service.static(2), partial(3)) == (1, 2, 8)
    assert (Counts("method")._now("ai_api_calls_total"), Counts("partial")._now("ai_api_calls_total")) == (1, 1)


def test_threads_lose_no_call() -> None:
    counts = Counts("threaded")

    @monitor_endpoint
    def threaded() -> None: ...

    threads = [threading.Thread(target=lambda: [threaded() for _ in range(1000)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counts.calls, counts.active) == (6000, 0)


def test_names_of_models_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_seen", set())
    counts = Counts("many", "other", "other")

    @monitor_endpoint
    def many(*, model: str) -> None: ...

    for number in range(SERIES_LIMIT + 10):
        many(model=f"m{number}")
    assert counts.calls == 10


def test_a_server_in_the_same_process_shows_them_too() -> None:
    metrics = Metrics(clock=ManualClock())

    @monitor_endpoint(endpoint="/mine")
    def mine(*, model: str = "") -> None:
        if model:
            raise ValueError("no")

    attach(metrics)
    try:
        mine()
        with pytest.raises(ValueError, match="no"):
            mine(model="m")
    finally:
        attach(None)
    mine()
    totals = metrics.totals().values
    assert totals["ai_api_calls_total"] == {("/mine", "", ""): [1], ("/mine", "m", ""): [1]}
    assert totals["ai_api_errors_total"] == {("/mine", "m", "", "ValueError"): [1]}
    assert totals["ai_active_requests"][("/mine", "", "")] == [0]


def test_a_call_that_outlives_the_server_leaves_its_gauge_at_zero() -> None:
    metrics = Metrics(clock=ManualClock())

    @monitor_endpoint
    def outliving() -> Iterator[int]:
        yield 1

    attach(metrics)
    generator = outliving()
    next(generator)
    attach(None)
    assert list(generator) == []
    assert metrics.totals().values["ai_active_requests"] == {("outliving", "", ""): [0]}


def test_a_servers_scrape_holds_the_default_registry_too_and_each_name_once() -> None:
    own = Counter("my_own_things_total", "Mine.")
    own.inc(3)
    monitor_endpoint(lambda: None)
    try:
        for accept in ("", "application/openmetrics-text"):
            text = Metrics(clock=ManualClock()).render(accept, foreign=registered)[1].decode()
            parse: Any = openmetrics.text_string_to_metric_families if accept else text_string_to_metric_families
            families = [family.name for family in parse(text)]
            assert "my_own_things" in families
            assert len(families) == len(set(families))
            assert "my_own_things_total 3.0\n" in text
    finally:
        REGISTRY.unregister(own)


def test_prometheus_client_is_neither_loaded_nor_shown_where_nobody_uses_it() -> None:
    program = """
import sys
from undercroft.clock import SystemClock
from undercroft.telemetry.metrics import Metrics
from undercroft.telemetry.monitor import registered
text = Metrics(clock=SystemClock()).render(foreign=registered)[1]
sys.exit("prometheus_client" in sys.modules or b"python_info" in text)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
