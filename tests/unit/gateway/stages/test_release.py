import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tests.support.clock import ManualClock
from tests.support.gateway import Bench, FlatRates, Prompter, said
from tests.support.tracing import MadeSpans
from tests.support.tracing import tracing as traced
from undercroft.errors import InvalidRequest, ModelNotFound
from undercroft.gateway.gateway import Gateway
from undercroft.llm.types import ChatRequest, PromptUse
from undercroft.releases.book import Book, Snapshot
from undercroft.releases.traffic import Traffic
from undercroft.telemetry.tracing import Tracing
from undercroft.versions.content import (
    Kind,
    ModelContent,
    PromptContent,
    PromptMessage,
    Variable,
    Version,
    digest_of,
)
from undercroft.versions.pinned import Pinned

pytestmark = pytest.mark.anyio

GREETING = PromptContent(
    messages=(PromptMessage(role="system", content="You serve {{who}}."),), variables={"who": Variable()}
)
OLD = Pinned(id="rel_old", alias="support", model=ModelContent(target="chat"))
NEW = Pinned(id="rel_new", alias="support", model=ModelContent(target="next"))
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


class House:
    """A gateway over two models, `chat` and `next`, and a book."""

    def __init__(
        self, traffic: Traffic | None = None, versions: Sequence[Version] = (), *, tracing: Tracing | None = None
    ) -> None:
        self.first, self.second = Prompter(said("old")), Prompter(said("new"))
        self.bench = Bench(self.first, others={"next": self.second})
        self.book = Book()
        self.show(traffic, versions)
        self.gateway = Gateway(
            catalogue=self.bench.gateway.catalogue,
            recorder=self.bench.recorder,
            rates=FlatRates(),
            gauge=self.bench.gauge,
            clock=self.bench.clock,
            rng=self.bench.rng,
            releases=self.book,
            tracing=tracing,
        )

    def show(self, traffic: Traffic | None, versions: Sequence[Version] = ()) -> None:
        by_name: dict[tuple[str, Kind, str], tuple[Version, ...]] = {
            ("default", each.kind, each.name): (each,) for each in versions
        }
        aliases = {} if traffic is None else {("default", "support"): traffic}
        known = {("default", each.id): each for each in (OLD, NEW)} if traffic is not None else {}
        self.book.replace(Snapshot(traffic=aliases, versions=by_name, releases=known))

    async def ask(
        self, model: str, *, user: str = "", prompt: PromptUse | None = None, id: str = "req_1"
    ) -> tuple[str, str]:
        """What was said, and by which release as the ledger has it."""
        call = self.bench.call(model=model, id=id)
        assert isinstance(call.request, ChatRequest)
        call = replace(call, request=replace(call.request, end_user=user, prompt=prompt))
        text = (await (await self.gateway.send(call)).read()).text()
        ended = [record for record in self.bench.recorder.ended if record.id == id]
        return text, ended[-1].release

    async def mirrored(self) -> None:
        """Returns when the copies have ended."""
        await asyncio.gather(*self.gateway.mirror.under_way)


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
