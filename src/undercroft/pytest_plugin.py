"""The fixture `undercroft_eval`: tests of AI applications, with answers that were recorded once.

In `conftest.py`: `pytest_plugins = ["undercroft.pytest_plugin"]`. Recordings are files in `recordings` (the ini option
`undercroft_recordings`), to be committed with the tests. `pytest --undercroft-eval=record` asks for what is missing.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from undercroft.evaluation.check import Checks
from undercroft.evaluation.checks.built_in import BUILT_IN
from undercroft.evaluation.recording import Live, Mode, Recorded
from undercroft.evaluation.store import AnswerStore
from undercroft.evaluation.suite import suite_of
from undercroft.evaluation.types import Answer, Asking, Message, PromptRef

if TYPE_CHECKING:
    from undercroft.evaluation.types import Case

T = TypeVar("T")
MODES = ("replay", "record", "live")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("undercroft")
    group.addoption(
        "--undercroft-eval",
        choices=MODES,
        default="replay",
        help="replay recorded answers, record missing ones, or ask",
    )
    parser.addini("undercroft_recordings", "folder of recorded answers", default="recordings")


class Evaluations:
    """What a test asks models through."""

    def __init__(self, recorded: Recorded, loop: asyncio.AbstractEventLoop) -> None:
        self._recorded = recorded
        self._loop = loop
        self._checks = Checks(BUILT_IN)

    def ask(
        self,
        text: str | Sequence[dict[str, str]],
        *,
        model: str = "",
        prompt: str | None = None,
        variables: dict[str, Any] | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
    ) -> Answer:
        """One answer to a text or to messages. `prompt` is `name@label` of a stored one. Raises NotFound where it was
        never recorded."""
        given = [{"content": text}] if isinstance(text, str) else text
        messages = tuple(Message(**each) for each in given)  # type: ignore[arg-type]  # msgspec checks roles where they are used
        name, _, version = (prompt or "").partition("@")
        reference = PromptRef(name=name, version=version or "production") if name else None
        asking = Asking(temperature=temperature, max_tokens=max_tokens, seed=seed)
        return self._wait(self._recorded.asked(model, messages, asking, reference, variables or {}))

    def check(
        self, answer: Answer, *checks: str | dict[str, Any], question: str = "", expected: str | None = None
    ) -> None:
        """Fails the test where a check of a suite (`{"contains": "Paris"}`) does not pass."""
        assert not answer.error, answer.error
        fields = {"input": question, "checks": list(checks)} | ({} if expected is None else {"expected": expected})
        (case,) = suite_of([fields], name="test", where="checks").cases
        wrong = [mark for mark in self._wait(self._marks(case, answer)) if not mark.passed]
        assert not wrong, "; ".join(f"{mark.check}: {mark.note or 'not passed'}" for mark in wrong)

    async def _marks(self, case: "Case", answer: Answer) -> list[Any]:
        return [await check.mark(case, answer, self._recorded) for check in self._checks.of(case)]

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@pytest.fixture(scope="session")
def undercroft_eval(request: pytest.FixtureRequest) -> Iterator[Evaluations]:
    """Asks models of the settings in the working directory, or of what was recorded."""
    config = request.config
    mode: Mode = config.getoption("--undercroft-eval")
    store = AnswerStore(config.rootpath / str(config.getini("undercroft_recordings")))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="undercroft-eval", daemon=True)
    thread.start()
    stack, opened = AsyncExitStack(), list[Live]()

    async def live() -> Live:
        if not opened:
            opened.append(await _open(stack))
        return opened[0]

    try:
        yield Evaluations(Recorded(store, mode, live=live), loop)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _open(stack: AsyncExitStack) -> Live:
    # Imported here: a replay needs neither settings nor a database.
    from undercroft.assembly.evaluating import benched
    from undercroft.assembly.stored_settings import encrypted_store
    from undercroft.settings.sources import load

    settings = load(config=None, environment=os.environ, directory=Path.cwd(), stored=encrypted_store).settings
    return await stack.enter_async_context(benched(settings))
