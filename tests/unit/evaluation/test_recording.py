from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.evaluation import Said
from undercroft.errors import NotFound
from undercroft.evaluation.recording import Live, Mode, Recorded
from undercroft.evaluation.store import AnswerStore
from undercroft.evaluation.types import Answer, Asking, Message, PromptRef

pytestmark = pytest.mark.anyio
HELLO = (Message(content="Hello"),)


class Real(Said):
    """What really answers."""

    async def asked(
        self, model: str, messages: Sequence[Message], asking: Asking, prompt: PromptRef | None, values: object, /
    ) -> Answer:
        return await self.ask(model, messages, asking)


def recorded(folder: Path, mode: Mode, real: Real | None = None) -> Recorded:
    async def live() -> Live:
        assert real is not None, "nobody may be asked"
        return real

    return Recorded(AnswerStore(folder), mode, live=live)


async def test_what_was_recorded_is_played_back_and_nobody_is_asked(tmp_path: Path) -> None:
    real = Real(judge=lambda _: "Hi", vectors={"a": [1.0]}, flagged=["hate"], found=["x", "y"])
    for mode, source in (("record", real), ("replay", None)):
        tools = recorded(tmp_path, mode, source)  # type: ignore[arg-type]
        assert (await tools.ask("chat", HELLO, Asking())).text == "Hi"
        assert await tools.embed("e", ["a"]) == [[1.0]]
        assert (await tools.moderate("m", "t")).categories == ("hate",)
        assert await tools.search("docs", "q", 1) == ["x"]

    assert len(real.heard) == 1


async def test_what_was_never_recorded_fails_and_says_how_to_record_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="--undercroft-eval=record"):
        await recorded(tmp_path, "replay").ask("chat", HELLO, Asking())


async def test_another_question_model_or_parameter_is_another_recording(tmp_path: Path) -> None:
    real = Real(judge=lambda _: "Hi")
    tools = recorded(tmp_path, "record", real)

    for model, temperature in (("a", None), ("b", None), ("a", 0.5), ("a", None)):
        await tools.ask(model, HELLO, Asking(temperature=temperature))

    assert len(real.heard) == 3


async def test_live_asks_each_time_and_keeps_nothing(tmp_path: Path) -> None:
    real = Real(judge=lambda _: "Hi")
    tools = recorded(tmp_path, "live", real)

    for _ in range(2):
        await tools.ask("chat", HELLO, Asking())

    assert len(real.heard) == 2
    with pytest.raises(NotFound):
        await recorded(tmp_path, "replay").ask("chat", HELLO, Asking())
