import pytest

from undercroft.assembly.guards import rules_of
from undercroft.assembly.versions import check_usable
from undercroft.errors import InvalidRequest
from undercroft.versions.content import GuardrailContent, GuardSpec, RetrievalContent


def test_a_stored_guardrail_becomes_the_rules_that_the_file_would_have_made() -> None:
    content = GuardrailContent(
        input=(GuardSpec(check="pii", action="mask", kinds=("email",)), GuardSpec(check="size", max_characters=9)),
        output=(GuardSpec(check="schema", name="shape", json_schema={"type": "object"}),),
    )

    rules = rules_of(content)

    assert [(rule.name, rule.action, set(rule.sides)) for rule in rules] == [
        ("pii", "mask", {"input"}),
        ("size", "block", {"input"}),
        ("shape", "block", {"output"}),
    ]
    assert not rules[0].check.find("+49 30 901820"), "only e-mail addresses were asked for"


@pytest.mark.parametrize(
    ("spec", "side", "says"),
    [
        (GuardSpec(check="terms"), "input", "needs terms"),
        (GuardSpec(check="pii", terms=("x",)), "input", "means nothing"),
        (GuardSpec(check="pii", kinds=("names",)), "input", "kinds"),
        (GuardSpec(check="size", max_characters=3, action="mask"), "output", "only block or flag"),
        (GuardSpec(check="schema", json_schema={}), "input", "prompts are no JSON"),
        (GuardSpec(check="schema", json_schema={"type": 7}), "output", "no JSON Schema"),
        (GuardSpec(check="schema", json_schema={"$ref": "http://127.0.0.1/x"}), "output", "not in it"),
        (GuardSpec(check="names"), "input", "needs pipeline"),
        (GuardSpec(check="nobody"), "input", "no guard 'nobody'"),
        (GuardSpec(check="pii", name="a name"), "input", "name"),
    ],
)
def test_what_could_not_be_applied_is_refused_with_its_place(spec: GuardSpec, side: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        rules_of(GuardrailContent(**{side: (GuardSpec(check="pii"), spec)}))

    assert refused.value.param == f"content.{side}[1]"


def test_a_filter_that_is_none_is_refused() -> None:
    check_usable(RetrievalContent(collection="manual", filter={"type": "eq", "key": "year", "value": 2026}))
    with pytest.raises(InvalidRequest):
        check_usable(RetrievalContent(collection="manual", filter={"type": "nonsense"}))
