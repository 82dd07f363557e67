import pytest

from tests.support.release_house import OLD, House
from undercroft.errors import UpstreamRefused
from undercroft.gateway.call import Call
from undercroft.gateway.stages import sample
from undercroft.gateway.stages.sample import Sample
from undercroft.llm.types import ChatRequest
from undercroft.releases.traffic import Traffic

pytestmark = pytest.mark.anyio


class Seen:
    """What was handed over: the caller's words, the answer, the release."""

    def __init__(self, *, wants: bool = True) -> None:
        self.answers: list[tuple[str, str, str]] = []
        self._wants = wants

    def stage(self) -> Sample:
        return Sample(lambda _: self._wants, self._hand)

    def _hand(self, call: Call, text: str) -> None:
        assert isinstance(call.request, ChatRequest)
        self.answers.append((call.request.messages[-1].text(), text, call.trail.release))


@pytest.mark.parametrize("stream", [True, False])
async def test_a_releases_answer_is_handed_over_whole(stream: bool) -> None:
    seen = Seen()
    house = House(Traffic(stable=OLD), answer=("one ", "two"), sample=seen.stage())

    answered = await house.ask("support", stream=stream)

    assert answered == ("one two", "rel_old"), "its caller gets it as ever"
    assert seen.answers == [("Hi you", "one two", "rel_old")]


async def test_what_is_not_wanted_has_no_release_or_failed_is_not() -> None:
    unwanted, seen = Seen(wants=False), Seen()
    await House(Traffic(stable=OLD), sample=unwanted.stage()).ask("support")
    house = House(Traffic(stable=OLD), sample=seen.stage())
    await house.ask("chat")
    house.first._scripts = [[UpstreamRefused("no", upstream_status=400)]]
    with pytest.raises(UpstreamRefused):
        await house.ask("support", id="req_2")

    assert unwanted.answers == seen.answers == []


async def test_an_answer_that_is_too_long_is_passed_on_and_not_kept() -> None:
    seen = Seen()
    piece = "x" * (sample.LONGEST // 2 + 1)
    house = House(Traffic(stable=OLD), answer=(piece, piece), sample=seen.stage())

    assert len((await house.ask("support"))[0]) == 2 * len(piece)
    assert seen.answers == []


async def test_an_answer_whose_caller_left_is_not_handed_over() -> None:
    seen = Seen()
    house = House(Traffic(stable=OLD), answer=("one ", "two"), sample=seen.stage())

    reply = await house.gateway.send(house.bench.call(model="support"))
    await anext(reply.chunks)
    await reply.chunks.aclose()

    assert seen.answers == []
