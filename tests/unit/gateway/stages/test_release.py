import pytest
from msgspec.structs import replace

from tests.support.clock import ManualClock
from tests.support.release_house import NEW, OLD, House
from tests.support.tracing import MadeSpans
from tests.support.tracing import tracing as traced
from undercroft.errors import InvalidRequest, ModelNotFound
from undercroft.llm.types import PromptUse
from undercroft.record import Who
from undercroft.releases.traffic import Traffic
from undercroft.versions.content import (
    ModelContent,
    PromptContent,
    PromptMessage,
    Variable,
    Version,
    digest_of,
)

pytestmark = pytest.mark.anyio

GREETING = PromptContent(
    messages=(PromptMessage(role="system", content="You serve {{who}}."),), variables={"who": Variable()}
)
MODEL = Version(
    organisation="default",
    kind="model",
    name="chat",
    digest=digest_of("model", ModelContent(target="next")),
    content=ModelContent(target="next"),
    labels=("staging",),
)
PROMPT = Version(
    organisation="default",
    kind="prompt",
    name="greeting",
    digest=digest_of("prompt", GREETING),
    content=GREETING,
    labels=("production",),
)


async def test_an_alias_is_answered_by_its_release_and_the_ledger_says_which() -> None:
    house = House(Traffic(stable=NEW))

    assert await house.ask("support") == ("new", "rel_new")
    assert await house.ask("chat") == ("old", ""), "a name without a release is a configured model as ever"


async def test_sticky_users_see_one_release_while_both_answer() -> None:
    house = House(Traffic(stable=OLD, candidate=NEW, share=0.5, salt=b"1"))

    seen = {
        user: {await house.ask("support", user=user, id=f"req_{user}_{turn}") for turn in range(3)}
        for user in map(str, range(40))
    }

    assert all(len(answers) == 1 for answers in seen.values())
    assert set.union(*seen.values()) == {("old", "rel_old"), ("new", "rel_new")}


async def test_what_is_moved_meanwhile_does_not_reach_a_call_that_has_begun() -> None:
    house = House(Traffic(stable=OLD))
    call = house.bench.call(model="support")

    reply = await house.gateway.send(call)
    house.show(Traffic(stable=NEW))

    assert (await reply.read()).text() == "old"
    assert house.bench.recorder.ended[-1].release == "rel_old"
    assert await house.ask("support", id="req_2") == ("new", "rel_new")


@pytest.mark.parametrize("reference", ["rel_new", "candidate"])
async def test_a_release_can_be_asked_for_by_itself(reference: str) -> None:
    house = House(Traffic(stable=OLD, candidate=NEW, share=0.0))

    assert await house.ask(f"support@{reference}") == ("new", "rel_new")


@pytest.mark.parametrize("reference", ["staging", "latest", MODEL.digest, MODEL.short])
async def test_a_version_of_a_model_can_be_asked_for(reference: str) -> None:
    house = House(versions=[MODEL])

    assert await house.ask(f"chat@{reference}") == ("new", f"chat@{MODEL.short}")


async def test_who_may_answer_is_known_before_anybody_does() -> None:
    house = House(Traffic(stable=OLD, candidate=NEW, share=0.1), versions=[MODEL])

    def ways(model: str, who: Who | None = None) -> list[tuple[str, str]]:
        request = house.bench.call(model=model).request
        found = house.gateway.ways(request, who or Who())
        return [(model.name, pinned.id if pinned else "") for model, pinned in found]

    assert ways("support") == [("chat", "rel_old"), ("next", "rel_new")]
    assert ways("support@candidate") == [("next", "rel_new")]
    assert ways("chat@staging") == [("next", f"chat@{MODEL.short}")]
    assert ways("next") == [("next", "")]
    with pytest.raises(ModelNotFound):
        ways("support", Who(organisation="another"))


def test_calls_of_a_release_wait_together_whoever_made_them() -> None:
    house = House(Traffic(stable=OLD), versions=[MODEL])

    lanes = [house.gateway.lane(house.bench.call(model=model).request) for model in ("support", "chat@staging", "chat")]

    assert lanes == ["support", "chat@staging", "chat"]
    with pytest.raises(ModelNotFound):
        house.gateway.lane(house.bench.call(model="nobody@latest").request)


async def test_a_version_that_is_not_there_is_a_404_and_an_unknown_name_is_as_ever() -> None:
    house = House(Traffic(stable=OLD), versions=[MODEL])

    with pytest.raises(Exception, match="no version 'production'"):
        await house.ask("chat@production")
    with pytest.raises(ModelNotFound, match="no candidate"):
        await house.ask("support@candidate")
    with pytest.raises(ModelNotFound, match="does not exist"):
        await house.ask("nobody@latest")


async def test_a_prompt_by_name_and_label_begins_the_conversation() -> None:
    house = House(versions=[PROMPT])

    answer = await house.ask("chat", prompt=PromptUse(name="greeting", variables={"who": "Ann"}))

    assert answer == ("old", f"greeting@{PROMPT.short}")
    assert [message.text() for message in house.first.asked[0].messages] == ["You serve Ann.", "Hi you"]


async def test_a_prompt_that_is_not_there_is_refused_also_where_there_are_no_releases() -> None:
    for house in (House(), House(versions=[MODEL])):
        with pytest.raises(Exception, match="no prompt 'greeting'"):
            await house.ask("chat", prompt=PromptUse(name="greeting"))
    with pytest.raises(InvalidRequest, match="no prompt that could be filled"):
        await House(versions=[MODEL]).ask("chat", prompt=PromptUse())


async def test_a_mirrored_call_is_sent_to_the_candidate_whose_answer_nobody_sees() -> None:
    house = House(Traffic(stable=OLD, candidate=NEW, mirror=1.0))

    assert await house.ask("support") == ("old", "rel_old")
    await house.mirrored()

    shadow = house.bench.recorder.ended[-1]
    assert (shadow.endpoint, shadow.release, shadow.model) == ("shadow", "rel_new", "next")
    assert len(house.second.asked) == 1


async def test_a_mirrored_call_is_in_the_trace_of_the_call_that_it_is_a_copy_of() -> None:
    sink = MadeSpans()
    traces = traced(sink, ManualClock())
    house = House(Traffic(stable=OLD, candidate=NEW, mirror=1.0), tracing=traces)

    await house.ask("support")
    await house.mirrored()
    traces.ended(house.bench.recorder.ended)

    calls = {span.name: span for span in sink.spans if span.kind == "server"}
    original, copy = calls["POST /v1/chat/completions"], calls["shadow"]
    assert (copy.trace, copy.parent) == (original.trace, original.id)
    assert len({span.trace for span in sink.spans}) == 1


async def test_a_mirrored_call_that_fails_is_booked_and_disturbs_nobody() -> None:
    house = House(Traffic(stable=OLD, candidate=replace(NEW, model=ModelContent(target="gone")), mirror=1.0))
    house.book.snapshot.releases["default", "rel_new"] = replace(NEW, model=ModelContent(target="gone"))

    assert await house.ask("support") == ("old", "rel_old")
    await house.mirrored()

    assert house.bench.recorder.ended[-1].error == "model_not_found"
