import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest
from undercroft.versions.content import PromptContent, PromptMessage, Variable
from undercroft.versions.template import fill


def prompt(text: str, **variables: Variable) -> PromptContent:
    return PromptContent(messages=(PromptMessage(role="user", content=text),), variables=variables)


def test_texts_stand_as_they_are_and_other_values_as_json() -> None:
    content = prompt("{{a}} {{ b }} {{c}}", a=Variable(), b=Variable(type="array"), c=Variable(type="boolean"))

    assert fill(content, {"a": 'say "hi"', "b": [1, "x"], "c": True}) == (("user", 'say "hi" [1,"x"] true'),)


def test_a_default_stands_where_nothing_is_given() -> None:
    content = prompt("{{a}}|{{b}}", a=Variable(required=False, default="x"), b=Variable(required=False))

    assert fill(content, {}) == (("user", "x|"),)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "needs the variable 'n'"),
        ({"n": "1"}, "'n' is integer"),
        ({"n": True}, "'n' is integer"),
        ({"n": 7}, "takes only"),
        ({"n": 1, "m": 2}, "no variable 'm'"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        fill(prompt("{{n}}", n=Variable(type="integer", choices=(1, 2))), values)


@given(st.text())
def test_what_is_put_in_is_never_read_as_a_template(value: str) -> None:
    content = prompt("<{{a}}>{{b}}", a=Variable(), b=Variable())

    assert fill(content, {"a": value + "{{b}}", "b": "secret"}) == (("user", f"<{value}{{{{b}}}}>secret"),)
