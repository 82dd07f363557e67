"""The runtime with the bundled model in it: slots, queue, cancellation, shutdown, and files that are no models."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_models import weights
from undercroft.errors import Unavailable
from undercroft.providers.local.engine import Engine, Generation

LONG = {"messages": [{"role": "user", "content": "Write a very long story."}], "stream": True, "temperature": 0}
SHORT = LONG | {"max_tokens": 3}


def _engine(gguf: Path | None = None, *, slots: int = 2, queue: int = 2) -> Engine:
    chosen = gguf or weights().chat
    return Engine(chosen, slots=slots, queue=queue, context_tokens=1024 * slots, threads=None, load_timeout_s=30)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = _engine()
    yield made
    asyncio.run(made.close())


async def _first_piece(generation: Generation) -> dict[str, Any]:
    async for _, piece in generation.pieces():
        return piece
    raise AssertionError("nothing came")


async def _free(engine: Engine, *, within_s: float) -> float:
    """How long it took until no slot was in use."""
    started = time.monotonic()
    async with asyncio.timeout(within_s):
        while engine.in_flight:  # noqa: ASYNC110 - slots are freed by threads
            await asyncio.sleep(0.001)
    return time.monotonic() - started


def test_a_reader_who_stops_frees_the_slot_at_the_next_piece(engine: Engine) -> None:
    async def run() -> None:
        generation = await engine.begin("chat", [LONG])
        await _first_piece(generation)
        engine.end(generation)
        await _free(engine, within_s=10.0)

    asyncio.run(run())


def test_a_reader_who_stops_while_a_long_prompt_is_read_frees_the_slot_soon(engine: Engine) -> None:
    prompt = {"messages": [{"role": "user", "content": "fox " * 900}], "return_progress": True, "cache_prompt": False}

    async def run() -> None:
        generation = await engine.begin("chat", [LONG | prompt])
        await _first_piece(generation)
        engine.end(generation)
        await _free(engine, within_s=30.0)

    asyncio.run(run())


def test_calls_that_wait_for_a_slot_leave_the_queue_at_once_when_ended(engine: Engine) -> None:
    async def run() -> None:
        running = [await engine.begin("chat", [LONG]) for _ in range(2)]
        waiting = [await engine.begin("chat", [LONG]) for _ in range(2)]
        assert engine.in_flight == 4
        for generation in waiting:
            engine.end(generation)
        assert engine.in_flight == 2
        for generation in running:
            engine.end(generation)
        await _free(engine, within_s=30.0)

    asyncio.run(run())


def test_calls_beyond_slots_and_queue_are_refused_with_a_time_to_come_back(engine: Engine) -> None:
    async def run() -> None:
        generation = await engine.begin("chat", [LONG] * engine.capacity)
        with pytest.raises(Unavailable, match="busy") as caught:
            await engine.begin("chat", [SHORT])
        assert (caught.value.status, caught.value.code) == (503, "model_busy")
        assert caught.value.retry_after_s
        engine.end(generation)
        await _free(engine, within_s=30.0)
        await _first_piece(await engine.begin("chat", [SHORT]))

    asyncio.run(run())


def test_an_exception_in_the_runtime_reaches_the_reader(engine: Engine) -> None:
    async def run() -> None:
        generation = await engine.begin("chat", [{"messages": "no list", "stream": True}])
        with pytest.raises((ValueError, RuntimeError)):
            await _first_piece(generation)
        await _free(engine, within_s=30.0)

    asyncio.run(run())


def test_a_loop_that_ended_in_the_middle_of_an_answer_frees_its_slot(engine: Engine) -> None:
    async def leave() -> None:
        await _first_piece(await engine.begin("chat", [LONG]))

    asyncio.run(leave())
    asyncio.run(_free(engine, within_s=30.0))


def test_closing_while_answers_are_made_tells_their_readers_and_ends_soon() -> None:
    engine = _engine()

    async def run() -> float:
        generations = [await engine.begin("chat", [LONG]) for _ in range(3)]
        await _first_piece(generations[0])

        async def read(generation: Generation) -> None:
            async for _ in generation.pieces():
                pass

        readers = [asyncio.create_task(read(generation)) for generation in generations]
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await engine.close()
        took = time.monotonic() - started
        for outcome in await asyncio.gather(*readers, return_exceptions=True):
            assert isinstance(outcome, Unavailable)
        with pytest.raises(Unavailable):
            await engine.begin("chat", [SHORT])
        return took

    assert asyncio.run(run()) < 30.0
    assert (engine.state, engine.in_flight) == ("closed", 0)


def test_a_model_that_is_given_up_as_soon_as_it_is_loaded_lets_its_process_end() -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from undercroft.providers.local.engine import make_server\n"
        "for _ in range(5):\n"
        "    make_server(Path(sys.argv[1]), slots=4, context_tokens=8192, threads=None)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(weights().chat)], timeout=60, check=True)


def _cut(source: bytes) -> bytes:
    return source[:1_000_000]


def _garbled(source: bytes) -> bytes:
    changed = bytearray(source)
    changed[5000:200_000:37] = bytes(byte ^ 0x5A for byte in changed[5000:200_000:37])
    return bytes(changed)


@pytest.mark.parametrize("spoil", [_cut, _garbled, lambda _: b"", lambda _: b"<html>not found</html>"])
def test_a_file_that_is_no_model_is_told_in_one_line_and_the_process_stays_up(spoil: Any, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(spoil(weights().chat.read_bytes()))
    _expect_failure(file)


def test_a_missing_file_and_a_folder_are_told_in_one_line(tmp_path: Path) -> None:
    _expect_failure(tmp_path / "missing.gguf")
    _expect_failure(tmp_path)


def _expect_failure(file: Path) -> None:
    engine = _engine(file)

    async def run() -> None:
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await engine.begin("chat", [SHORT])
            assert caught.value.status == 503
            assert str(file) in caught.value.message
        await engine.close()

    engine.start()
    asyncio.run(run())
    assert engine.in_flight == 0


def test_nothing_the_runtime_says_reaches_the_terminal() -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from undercroft.providers.local.engine import Engine\n"
        "async def run():\n"
        "    engine = Engine(Path(sys.argv[1]), slots=1, queue=1, context_tokens=512, threads=1, load_timeout_s=30)\n"
        "    message = {'role': 'user', 'content': 'Hi'}\n"
        "    generation = await engine.begin('chat', [{'messages': [message], 'stream': True, 'max_tokens': 3}])\n"
        "    pieces = [piece async for piece in generation.pieces()]\n"
        "    engine.end(generation)\n"
        "    await engine.close()\n"
        "    sys.exit(0 if pieces else 3)\n"
        "asyncio.run(run())\n"
    )
    command = [sys.executable, "-c", script, str(weights().chat)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
