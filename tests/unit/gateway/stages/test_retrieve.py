from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tests.support.release_house import NEW, OLD, House
from undercroft.assembly.guards import rules_of
from undercroft.errors import Unavailable
from undercroft.gateway.call import Call
from undercroft.gateway.stages.guardrail import Guardrail
from undercroft.gateway.stages.retrieve import Retrieve
from undercroft.guards.guard import Blocked, Rule
from undercroft.releases.traffic import Traffic
from undercroft.versions.content import GuardrailContent, GuardSpec, RetrievalContent

pytestmark = pytest.mark.anyio

MANUAL = RetrievalContent(collection="manual", template="Known: {{passages}}")
FAQ = RetrievalContent(collection="faq", template="Asked before: {{passages}}", role="system")
FOUND = {"manual": ["Turn it off.", "Turn it on."], "faq": ["Reset it."], "nothing": []}


class Library:
    """A Search over what was written down, which remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.is_away = False

    async def __call__(self, content: RetrievalContent, question: str, call: Call, /) -> Sequence[str]:
        self.asked.append((content.collection, question, call.trail.release))
        if self.is_away:
            raise Unavailable("The vector store is away.")
        return FOUND[content.collection]


def nobody(call: Call, found: tuple[str, ...], rules: Sequence[Rule]) -> None:
    """Nobody is told."""


class Reading(House):
    """A house whose releases look things up in a library."""

    def __init__(self, traffic: Traffic) -> None:
        self.library = Library()
        guardrail = Guardrail(rules_of, tell=nobody)
        super().__init__(traffic, stages=[guardrail, Retrieve(self.library, guards=[guardrail])])

    def sent(self) -> list[tuple[str, str]]:
        """The last conversation that reached a model."""
        asked = self.second.asked or self.first.asked
        return [(message.role, message.text()) for message in asked[-1].messages]


async def test_what_is_found_stands_where_the_release_wants_it() -> None:
    house = Reading(Traffic(stable=replace(OLD, retrieval=MANUAL), candidate=replace(NEW, retrieval=FAQ)))

    await house.ask("support@stable", said="It hangs")
    assert house.sent() == [("user", "Known: [1] Turn it off.\n\n[2] Turn it on.\n\nIt hangs")]
    await house.ask("support@candidate", said="It hangs", id="req_2")
    assert house.sent() == [("system", "Asked before: [1] Reset it."), ("user", "It hangs")]

    assert house.library.asked == [("manual", "It hangs", "rel_old"), ("faq", "It hangs", "rel_new")]


async def test_a_release_without_retrieval_and_a_name_without_a_release_look_nothing_up() -> None:
    house = Reading(Traffic(stable=OLD))

    await house.ask("support", said="It hangs")
    await house.ask("chat", said="It hangs", id="req_2")

    assert house.library.asked == []
    assert house.sent() == [("user", "It hangs")]


async def test_where_nothing_is_found_the_model_is_told_so() -> None:
    house = Reading(Traffic(stable=replace(OLD, retrieval=replace(MANUAL, collection="nothing"))))

    await house.ask("support", said="It hangs")

    assert house.sent() == [("user", "Known: (nothing was found)\n\nIt hangs")]


async def test_the_question_is_looked_up_as_the_guards_let_it_pass_and_what_is_found_passes_them_too() -> None:
    guards = GuardrailContent(
        input=(GuardSpec(check="pii", action="mask"), GuardSpec(check="terms", action="block", terms=("reset it",)))
    )
    house = Reading(Traffic(stable=replace(OLD, retrieval=MANUAL, guardrail=guards)))
    await house.ask("support", said="ann@example.com hangs")
    assert house.library.asked == [("manual", "[email] hangs", "rel_old")]

    house = Reading(Traffic(stable=replace(OLD, retrieval=FAQ, guardrail=guards)))
    with pytest.raises(Blocked):
        await house.ask("support", said="It hangs")
    assert not house.first.asked, "a passage that is blocked reaches no model"


async def test_a_store_that_is_away_fails_the_call_and_the_ledger_names_the_release() -> None:
    house = Reading(Traffic(stable=replace(OLD, retrieval=MANUAL)))
    house.library.is_away = True

    with pytest.raises(Unavailable):
        await house.ask("support")

    ended = house.bench.recorder.ended[-1]
    assert (ended.release, ended.status) == ("rel_old", 503)
