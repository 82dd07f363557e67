"""Which answers are kept, and that they come back as they were."""

from array import array

import pytest

from undercroft.cache.entry import Entry, decode, encode, is_complete, size_of
from undercroft.llm.types import (
    ChatRequest,
    Choice,
    Chunk,
    CompletionRequest,
    EmbeddingsRequest,
    Message,
    ModerationRequest,
    Request,
    Sampling,
    ToolCallDelta,
    Verdict,
)
from undercroft.record import Usage

MESSAGES = (Message(role="user", content="Hi"),)
CHAT = ChatRequest(model="m", messages=MESSAGES)
ONE_WORD = ChatRequest(model="m", messages=MESSAGES, sampling=Sampling(max_tokens=1))
TWO = ChatRequest(model="m", messages=MESSAGES, sampling=Sampling(n=2))
TEXTS = CompletionRequest(model="m", prompts=("a", "b"))
EMBEDDINGS = EmbeddingsRequest(model="m", inputs=("a", "b"))
JUDGED = ModerationRequest(model="m", inputs=("a",))
VECTOR = memoryview(array("f", [0.25, -1.5]))


def ended(reason: str | None, index: int = 0, text: str = "x", refusal: str = "") -> Chunk:
    return Chunk(choices=(Choice(index=index, text=text, refusal=refusal, finish_reason=reason),))


@pytest.mark.parametrize(
    ("request_", "chunks", "complete"),
    [
        (CHAT, [ended("stop")], True),
        (CHAT, [ended(None), ended("tool_calls")], True),
        (CHAT, [ended(None)], False),
        (CHAT, [], False),
        (CHAT, [ended("content_filter")], False),
        (CHAT, [ended("length")], False),
        (ONE_WORD, [ended("length")], True),
        (CHAT, [ended("stop", refusal="no")], False),
        (TWO, [ended("stop")], False),
        (TWO, [ended("stop"), ended("stop", index=1)], True),
        (TEXTS, [ended("stop"), ended(None, index=1)], False),
        (TEXTS, [ended("stop"), ended("stop", index=1)], True),
        (EMBEDDINGS, [Chunk(vectors=(VECTOR,))], False),
        (EMBEDDINGS, [Chunk(vectors=(VECTOR, VECTOR))], True),
        (JUDGED, [Chunk()], False),
        (JUDGED, [Chunk(verdicts=(Verdict(flagged=False, categories={}, scores={}),))], True),
    ],
)
def test_only_what_came_to_its_end_is_an_answer(request_: Request, chunks: list[Chunk], complete: bool) -> None:
    assert is_complete(request_, chunks) is complete


def test_an_entry_comes_back_as_it_was() -> None:
    call = ToolCallDelta(index=0, id="c", name="f", arguments="{}")
    chunks = (
        Chunk(choices=(Choice(role="assistant", text="Hé", tool_calls=(call,)),), source=b"{}", model="m"),
        Chunk(choices=(Choice(finish_reason="stop", logprobs={"content": [1]}),), usage=Usage(input=1, output=2)),
        Chunk(vectors=(VECTOR,)),
    )
    entry = Entry(chunks=chunks, model="m", deployment="m/0", cost_nano=7, created_us=1, expires_us=2, dropped=("n",))
    found = decode(encode(entry))
    assert found == entry
    assert found.chunks[2].vectors[0].format == "f"
    assert list(found.chunks[2].vectors[0]) == [0.25, -1.5]


def test_size_grows_with_what_is_said() -> None:
    assert size_of(Chunk(source=b"x" * 1000)) - size_of(Chunk()) == 1000
    assert size_of(Chunk(vectors=(VECTOR,))) - size_of(Chunk()) == 8
