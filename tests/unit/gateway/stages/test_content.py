"""Contents are kept when somebody asks for that, as their caller saw them and as guards let them through."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.support.gateway import Bench, Prompter, said
from undercroft.errors import InvalidRequest, UpstreamTimedOut
from undercroft.gateway.call import Call, Handler
from undercroft.gateway.contents import Content
from undercroft.gateway.stages.content import KeepContent, Mode
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Choice, Chunk, Message


class Kept:
    """Keeps contents in a list."""

    def __init__(self) -> None:
        self.contents: list[Content] = []

    def keep(self, content: Content, /) -> None:
        self.contents.append(content)

    @property
    def texts(self) -> list[str]:
        return [content.answer.written()["choices"][0]["text"] for content in self.contents]


class Masking:
    """A guard that lets through something else than what was asked, and lets something else be seen."""

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        assert isinstance(call.request, ChatRequest)
        masked = replace(call.request, messages=(Message(role="user", content="[NAME]"),))
        await (await proceed(replace(call, request=masked))).read()
        return Reply(whole=Chunk(choices=(Choice(text="[SEEN]", finish_reason="stop"),)))


class Refusing:
    """A guard that lets nothing through."""

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        raise InvalidRequest("No.")


async def answered(bench: Bench, *, content: str = "", stream: bool = True) -> Call:
    call = replace(bench.call(stream=stream), content=content)
    await (await bench.gateway.send(call)).read()
    return call


@pytest.mark.parametrize(
    ("mode", "asked", "is_kept"),
    [
        ("on_request", "", False),
        ("on_request", "keep", True),
        ("always", "", True),
        ("always", "none", False),
        ("always", "keep", True),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_who_wants_it_kept_decides(mode: Mode, asked: str, is_kept: bool, stream: bool) -> None:
    kept = Kept()
    bench = Bench(Prompter(said("One ", "two")), content=KeepContent(kept, mode=mode))
    call = asyncio.run(answered(bench, content=asked, stream=stream))
    assert kept.texts == (["One two"] if is_kept else [])
    assert call.trail.keeps_content is is_kept


def test_without_the_stage_nothing_is_kept_whatever_the_caller_says() -> None:
    call = asyncio.run(answered(Bench(Prompter(said("Hello"))), content="keep"))
    assert not call.trail.keeps_content


def test_a_cut_stream_is_kept_as_far_as_it_came() -> None:
    kept = Kept()
    script = [*said("One ")[:1], UpstreamTimedOut("silence")]
    bench = Bench(Prompter(script), content=KeepContent(kept, mode="always"))
    with pytest.raises(UpstreamTimedOut):
        asyncio.run(answered(bench))
    assert kept.texts == ["One "]


def test_what_guards_have_changed_is_kept_changed() -> None:
    kept = Kept()
    bench = Bench(Prompter(said("Ada")), content=KeepContent(kept, mode="always"), guard=Masking())
    asyncio.run(answered(bench, stream=False))
    assert kept.texts == ["[SEEN]"]
    assert "[NAME]" in kept.contents[0].request_json()
    assert "Hi you" not in kept.contents[0].request_json()


def test_what_guards_have_refused_is_not_kept() -> None:
    kept = Kept()
    bench = Bench(Prompter(said("Ada")), content=KeepContent(kept, mode="always"), guard=Refusing())
    with pytest.raises(InvalidRequest):
        asyncio.run(answered(bench))
    assert not kept.contents


def test_tags_are_booked_from_the_header_and_from_named_labels() -> None:
    bench = Bench(Prompter(said("Hi")), tag_names=("project", "feature"))
    call = bench.call()
    assert isinstance(call.request, ChatRequest)
    request = replace(call.request, metadata={"project": "apollo", "feature": "chat", "note": "private"})
    asked = replace(call, request=request, tags={"feature": "search"}, batch="batch_1")

    async def send() -> None:
        await (await bench.gateway.send(asked)).read()

    asyncio.run(send())
    wanted = {"project": "apollo", "feature": "search", "batch": "batch_1"}
    assert [record.tags for record in bench.recorder.records if hasattr(record, "tags")] == [wanted, wanted]
