from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tests.support.release_house import NEW, OLD, House
from undercroft.assembly.guards import rules_of
from undercroft.gateway.call import Call
from undercroft.gateway.stages.guard import Guard
from undercroft.gateway.stages.guardrail import Guardrail
from undercroft.guards.guard import Blocked, Rule
from undercroft.guards.terms import BlockedTerms
from undercroft.releases.traffic import Traffic
from undercroft.versions.content import GuardrailContent, GuardSpec

pytestmark = pytest.mark.anyio

MASKS = GuardrailContent(
    input=(GuardSpec(check="pii", action="mask"),),
    output=(GuardSpec(check="terms", action="mask", name="names", terms=("Bluebird",)),),
)
BLOCKS = GuardrailContent(input=(GuardSpec(check="terms", name="topics", terms=("weapons",)),))


def nobody(call: Call, found: tuple[str, ...], rules: Sequence[Rule]) -> None:
    """Nobody is told."""


def house(stable: GuardrailContent | None, candidate: GuardrailContent | None = None) -> House:
    traffic = Traffic(stable=replace(OLD, guardrail=stable), candidate=replace(NEW, guardrail=candidate))
    return House(traffic, answer=("We call it Blue", "bird here."), stages=[Guardrail(rules_of, tell=nobody)])


async def test_a_releases_guards_look_at_what_goes_in_and_what_comes_out() -> None:
    guarded = house(MASKS)

    said, _ = await guarded.ask("support", said="I am ann@example.com")

    assert guarded.first.asked[0].messages[-1].text() == "I am [email]"
    assert said == "We call it [term] here."


async def test_a_name_without_a_release_is_not_held_to_anothers_guards() -> None:
    guarded = house(MASKS)

    said, _ = await guarded.ask("chat", said="I am ann@example.com")

    assert guarded.first.asked[0].messages[-1].text() == "I am ann@example.com"
    assert said == "We call it Bluebird here."


async def test_each_release_has_its_own() -> None:
    guarded = house(BLOCKS, MASKS)

    with pytest.raises(Blocked, match="topics"):
        await guarded.ask("support@stable", said="How are weapons made?")
    assert not guarded.first.asked, "what is blocked is sent to nobody"
    assert guarded.bench.recorder.ended[-1].release == "rel_old"
    assert (await guarded.ask("support@candidate", said="How are weapons made?", id="req_2"))[1] == "rel_new"


async def test_the_operators_rules_hold_beside_them() -> None:
    operators = Rule(name="ours", check=BlockedTerms(["secret"]), action="block", sides=frozenset({"input"}))
    traffic = Traffic(stable=replace(OLD, guardrail=MASKS))
    guarded = House(traffic, guard=Guard([operators], tell=nobody), stages=[Guardrail(rules_of, tell=nobody)])

    with pytest.raises(Blocked, match="ours"):
        await guarded.ask("support", said="the secret of ann@example.com")
    await guarded.ask("support", said="ann@example.com", id="req_2")
    assert guarded.first.asked[0].messages[-1].text() == "[email]"


async def test_a_releases_guards_are_made_once() -> None:
    made: list[GuardrailContent] = []

    def make(content: GuardrailContent) -> list[Rule]:
        made.append(content)
        return rules_of(content)

    guarded = House(Traffic(stable=replace(OLD, guardrail=MASKS)), stages=[Guardrail(make, tell=nobody)])
    for number in range(3):
        await guarded.ask("support", id=f"req_{number}")

    assert made == [MASKS]
