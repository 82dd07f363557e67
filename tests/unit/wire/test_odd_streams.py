"""Streams as servers really send them: each comes out as what it means, or as the right error.

A case is a pair in `odd_streams/`: NAME.sse, the raw bytes of the answer's body, and NAME.json, what it imitates and
what must come out. `repeat` names a text in the bytes and how often it stands there really.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from tests.support.canned import CannedClient
from tests.support.clock import ManualClock
from tests.support.strict_reader import Read, read_stream
from undercroft.egress.client import Client
from undercroft.errors import UpstreamError
from undercroft.llm.provider import ChatProvider
from undercroft.llm.reply import joined
from undercroft.llm.types import ChatRequest, Chunk, Message, Sampling
from undercroft.providers.anthropic import Anthropic
from undercroft.providers.gemini import Gemini
from undercroft.providers.openai_compatible import OpenAICompatible
from undercroft.wire.openai.chat import ChatStream, whole

FOLDER = Path(__file__).with_name("odd_streams")
LARGE_BYTES = 8192
"""Larger answers are cut in fewer places."""


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """What must come out."""

    imitates: str
    wire: Literal["openai", "anthropic", "gemini"] = "openai"
    text: str = ""
    """Of choice 0."""
    texts: dict[str, str] | None = None
    """Of several choices, by index."""
    reasoning: str = ""
    calls: list[dict[str, str]] = []
    finish: str | None = None
    usage: dict[str, int] | None = None
    """As `record.Usage` has it."""
    extras: list[str] = []
    """Fields a client of the same format still sees."""
    error: str | None = None
    says: str = ""
    before: str = ""
    """The text that was passed on before the error."""
    n: int = 1
    repeat: tuple[str, int] | None = None


NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def case_of(name: str) -> tuple[Case, bytes]:
    case = msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Case)
    body = (FOLDER / f"{name}.sse").read_bytes()
    if case.repeat is not None:
        text, count = case.repeat
        assert body.count(text.encode()) == 1
        body = body.replace(text.encode(), text.encode() * count)
        case.text *= count
    return case, body


def provider_of(case: Case, client: Client) -> ChatProvider:
    told: Any = {"base_url": "http://127.0.0.1/v1", "api_key": None, "model": "m", "client": client}
    match case.wire:
        case "anthropic":
            return Anthropic("odd", **told, clock=ManualClock())
        case "gemini":
            return Gemini(**told, clock=ManualClock())
        case _:
            return OpenAICompatible("odd", **told, clock=ManualClock())


class Outcome(msgspec.Struct):
    """What became of one answer."""

    chunks: list[Chunk]
    written: bytes
    error: UpstreamError | None = None


async def outcome(pieces: tuple[bytes, ...], case: Case, *, include_usage: bool) -> Outcome:
    """The answer through the real provider and our own writer."""
    canned = CannedClient(*pieces)
    provider = provider_of(case, canned.client)
    asked = ChatRequest(
        model="m",
        messages=(Message(role="user", content="hi"),),
        stream=True,
        include_usage=include_usage,
        sampling=Sampling(n=case.n),
    )
    writer = ChatStream(id="chatcmpl-1", created=1, model="m", include_usage=include_usage)
    chunks: list[Chunk] = []
    written = b""
    try:
        reply = await provider.send(asked)
        async for chunk in reply.chunks:
            chunks.append(chunk)
            written += writer.frame(chunk)
    except UpstreamError as error:
        return Outcome(chunks, written + writer.error(error), error)
    return Outcome(chunks, written + writer.end())


def cuts(body: bytes) -> list[tuple[bytes, ...]]:
    """Every way to cut it in two, and byte by byte."""
    if len(body) > LARGE_BYTES:
        places = [1, 6, len(body) // 2, *range(len(body) - 4, len(body))]
        return [(body[:place], body[place:]) for place in places]
    halves = [(body[:place], body[place:]) for place in range(1, len(body))]
    return [*halves, tuple(body[place : place + 1] for place in range(len(body)))]


def expect(case: Case, result: Outcome, *, include_usage: bool) -> None:
    read = read_stream(result.written, include_usage=include_usage)
    if case.error is not None:
        assert type(result.error).__name__ == case.error, result.error
        assert case.says in str(result.error)
        assert read.error is not None
        assert not read.is_done
        assert read.texts.get(0, "") == case.before
        return
    assert result.error is None, result.error
    assert read.is_done
    expect_client(case, read)
    if include_usage and case.usage is not None:
        assert read.usage is not None
        assert read.usage["prompt_tokens"] == case.usage["input"]


def expect_client(case: Case, read: Read) -> None:
    assert read.texts == (
        {int(index): text for index, text in case.texts.items()} if case.texts is not None else {0: case.text}
    )
    assert read.reasoning.get(0, "") == case.reasoning
    assert [dict(call) for _, call in sorted(read.calls.items())] == case.calls
    assert set(read.finish.values()) == {case.finish}
    assert set(case.extras) <= read.extras.keys()


def test_there_are_enough_of_them_and_each_says_what_it_imitates() -> None:
    wires = Counter(case_of(name)[0].wire for name in NAMES)
    assert all(wires[wire] >= 30 for wire in ("openai", "anthropic", "gemini")), wires
    assert sorted(path.stem for path in FOLDER.glob("*.sse")) == NAMES
    assert all(case_of(name)[0].imitates for name in NAMES)


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_an_odd_stream_comes_out_as_what_it_means(name: str, include_usage: bool) -> None:
    case, body = case_of(name)

    result = asyncio.run(outcome((body,), case, include_usage=include_usage))

    expect(case, result, include_usage=include_usage)


@pytest.mark.parametrize("name", NAMES)
def test_its_parts_add_up_for_writers_of_other_formats(name: str) -> None:
    case, body = case_of(name)
    result = asyncio.run(outcome((body,), case, include_usage=True))
    if case.error is not None:
        assert "".join(chunk.text() for chunk in result.chunks) == case.before
        return

    added = asyncio.run(joined(_each(result.chunks)))

    first = added.choices[0]
    assert {choice.index: choice.text for choice in added.choices} == (
        {int(index): text for index, text in case.texts.items()} if case.texts is not None else {0: case.text}
    )
    assert (first.reasoning, first.finish_reason) == (case.reasoning, case.finish)
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in first.tool_calls]
    assert calls == case.calls
    told = None if added.usage is None else {name: count for name, count in _asdict(added.usage).items() if count}
    assert told == case.usage
    assert msgspec.json.decode(whole(added, id="x", created=1, model="m"))["choices"]


@pytest.mark.parametrize("name", NAMES)
def test_however_its_bytes_are_cut_the_same_comes_out(name: str) -> None:
    case, body = case_of(name)

    async def scenario() -> None:
        uncut = await outcome((body,), case, include_usage=True)
        for pieces in cuts(body):
            result = await outcome(pieces, case, include_usage=True)
            assert result.written == uncut.written, pieces[0][-20:]

    asyncio.run(scenario())


async def _each(chunks: list[Chunk]) -> Any:
    for chunk in chunks:
        yield chunk


def _asdict(value: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(value)
