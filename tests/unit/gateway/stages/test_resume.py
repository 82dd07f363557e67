"""An answer that was cut goes on, or ends in the error of the cut."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.gateway import Bench, Prompter, Step, said
from tests.support.moving import outcome, text
from undercroft.errors import (
    UpstreamGarbled,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.gateway.policy import Policy
from undercroft.gateway.stages.resume import Seam, is_resumable, resumed
from undercroft.llm.types import ChatRequest, Choice, Chunk, Message, ResponseFormat, Sampling, Source, Tool, Usage

CONTINUE = Policy(on_cut="continue")
PLAIN = ChatRequest(model="chat", messages=(Message(role="user", content="Hi"),), stream=True)
CUT = UpstreamUnreachable("cut")


def cut(*words: str, error: Exception = CUT) -> list[Step]:
    return [*said(*words)[:-1], error]


def test_the_rest_comes_from_the_same_deployment_and_the_caller_sees_one_text() -> None:
    provider = Prompter(cut("one", " two"), said(" three"))
    bench = Bench(provider, policy=CONTINUE)
    assert text(bench) == "one two three"
    assert provider.asked[1].messages[-1] == Message(role="assistant", content="one two")
    (ended,) = bench.recorder.ended
    assert (ended.status, ended.attempts) == (200, 2)
    assert bench.gauge.active == 0


def test_both_parts_are_billed() -> None:
    first = said("12345678")[0]
    bench = Bench(Prompter([first, CUT], said(" rest", usage=Usage(input=5, output=3))), policy=CONTINUE)
    assert text(bench) == "12345678 rest"
    (ended,) = bench.recorder.ended
    estimated = Usage(input=6, output=2)
    assert ended.usage == Usage(input=estimated.input + 5, output=estimated.output + 3)
    assert ended.cost_nano == ended.usage.total  # a nano-dollar a token
    assert ended.usage_estimated


def test_a_stall_goes_on_with_a_fallback_and_never_with_the_silent_one() -> None:
    stalled = Prompter(cut("one", error=UpstreamTimedOut("silent")))
    other = Prompter(said(" two"))
    bench = Bench(stalled, policy=Policy(on_cut="continue", fallbacks=("other",)), others={"other": other})
    assert text(bench) == "one two"
    assert len(stalled.asked) == 1
    assert bench.recorder.ended[0].deployment == "other/0"
    assert bench.recorder.ended[0].model == "chat"


def test_a_stall_without_anybody_else_ends_in_its_error() -> None:
    stalled = Prompter(cut("one", error=UpstreamTimedOut("silent")))
    bench = Bench(stalled, policy=CONTINUE)
    assert isinstance(asyncio.run(outcome(bench)), UpstreamTimedOut)
    assert len(stalled.asked) == 1


def test_a_model_that_takes_no_beginning_of_its_answer_ends_in_the_cut_not_in_its_own_refusal() -> None:
    refusal = UpstreamRefused("conversation must end with a user message", upstream_status=400)
    bench = Bench(Prompter(cut("one"), [refusal]), policy=CONTINUE)
    told = asyncio.run(outcome(bench))
    assert told is CUT
    (ended,) = bench.recorder.ended
    assert (ended.status, ended.error, ended.deployment) == (502, "upstream_unreachable", "chat/0")
    assert ended.usage.output > 0


def test_attempts_end() -> None:
    provider = Prompter(cut(" word"))
    bench = Bench(provider, policy=CONTINUE)
    assert asyncio.run(outcome(bench)) is CUT
    assert len(provider.asked) == 4


def test_one_that_breaks_off_twice_is_left_for_the_fallback() -> None:
    broken, other = Prompter(cut("one"), cut(" two")), Prompter(said(" three"))
    bench = Bench(broken, policy=Policy(on_cut="continue", fallbacks=("other",)), others={"other": other})
    assert text(bench) == "one two three"
    assert (len(broken.asked), len(other.asked)) == (2, 1)


@pytest.mark.parametrize(
    "request_",
    [
        replace(PLAIN, stream=False),
        replace(PLAIN, tools=(Tool(name="f"),)),
        replace(PLAIN, logprobs=True),
        replace(PLAIN, sampling=Sampling(n=2)),
        replace(PLAIN, response_format=ResponseFormat(type="json_object")),
        replace(PLAIN, messages=(*PLAIN.messages, Message(role="assistant", content="I"))),
        replace(PLAIN, messages=()),
    ],
)
def test_only_plain_text_is_gone_on_with(request_: ChatRequest) -> None:
    assert is_resumable(PLAIN)
    assert not is_resumable(request_)


@pytest.mark.parametrize(
    "choice", [Choice(reasoning="hm"), Choice(refusal="no"), Choice(index=1, text="b"), Choice(text=" \n")]
)
def test_what_has_more_than_text_or_none_is_not_gone_on_with(choice: Choice) -> None:
    provider = Prompter([Chunk(choices=(choice,)), CUT])
    bench = Bench(provider, policy=CONTINUE)
    assert asyncio.run(outcome(bench)) is CUT
    assert len(provider.asked) == 1


def test_a_cut_after_the_end_was_told_is_not_gone_on_with() -> None:
    provider = Prompter([*said("one"), CUT])
    bench = Bench(provider, policy=CONTINUE)
    assert asyncio.run(outcome(bench)) is CUT
    assert len(provider.asked) == 1


def test_models_that_have_not_switched_it_on_end_in_the_error() -> None:
    provider = Prompter(cut("one", error=UpstreamGarbled("cut")), said(" two"))
    assert isinstance(asyncio.run(outcome(Bench(provider))), UpstreamGarbled)
    assert len(provider.asked) == 1


@given(st.text(" ab\n", min_size=1), st.integers(0, 40), st.lists(st.integers(1, 5)))
def test_the_seam_neither_loses_nor_doubles_a_character(whole: str, at: int, sizes: list[int]) -> None:
    """A model that goes on from the text without its blanks writes the rest, blanks first."""
    told = whole[:at]
    said_to_it = resumed(PLAIN, told).messages[-1].content
    assert isinstance(said_to_it, str)
    rest, seam, pieces = whole[len(said_to_it) :], Seam((), told), []
    for size in [*sizes, len(whole) + 1]:
        piece, rest = rest[:size], rest[size:]
        pieces.append(seam.fit(Chunk(choices=(Choice(text=piece),))).text())
    assert told + "".join(pieces) == whole


def test_what_we_do_not_know_of_a_request_survives() -> None:
    source = Source("openai.chat", b'{"model":"chat","messages":[{"role":"user","content":"Hi"}],"x":1,"max_tokens":9}')
    request = resumed(replace(PLAIN, source=source, sampling=Sampling(max_tokens=9)), "12345678")
    assert request.source is not None
    assert request.source.body == (
        b'{"model":"chat","messages":[{"role":"user","content":"Hi"},'
        b'{"role":"assistant","content":"12345678"}],"x":1,"max_tokens":7}'
    )
    assert request.sampling.max_tokens == 7
