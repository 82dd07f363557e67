"""The locator finds every key that tomllib finds, on the right line."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.settings.locate import Place, locate


def places(value: Any, place: Place = ()) -> set[Place]:
    """Everything that has a place in the parsed document."""
    found = {place} if place else set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= places(inner, (*place, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            found |= places(inner, (*place, position))
    return found


def line_of(text: str, place: Place) -> str:
    return text.split("\n")[locate(text)[place] - 1]


NESTED = """\
# A comment with [brackets] and "quotes"
title = "x"

[server]
port = 9 # = 8
[[models]]
name = "one"
  [[models.deployments]]
  provider = "a"
    [models.deployments.price]
    input = "1"
  [[models.deployments]]
  provider = "b"
[[models]]
name = "two"
  [[models.deployments]]
  provider = "c"
"""


def test_elements_of_nested_arrays_of_tables_have_the_line_of_their_header() -> None:
    lines = locate(NESTED)
    assert lines[("models", 0)] == 6
    assert lines[("models", 0, "deployments", 1)] == 12
    assert lines[("models", 0, "deployments", 0, "price", "input")] == 11
    assert lines[("models", 1, "deployments", 0, "provider")] == 17


def test_a_dotted_key_marks_every_table_on_its_way() -> None:
    lines = locate("a = 1\nserver.limits . max_body_bytes = 5\n")
    assert [lines[("server",)], lines[("server", "limits")], lines[("server", "limits", "max_body_bytes")]] == [2, 2, 2]


def test_keys_inside_inline_tables_in_a_list_of_several_lines_have_their_own_line() -> None:
    text = 'deployments = [\n  {provider = "a", price = {input = "1"}}, # [\n\n  {provider = "b"},\n]\nlast = 1\n'
    assert line_of(text, ("deployments", 0, "price", "input")) == '  {provider = "a", price = {input = "1"}}, # ['
    assert line_of(text, ("deployments", 1, "provider")) == '  {provider = "b"},'
    assert line_of(text, ("last",)) == "last = 1"


@pytest.mark.parametrize(
    "text",
    [
        NESTED,
        "",
        "# only a comment",
        'a = """one\n[not.a.table]\n"two" \\""" still"""""\nb = 1',
        "a = '''one\n'two' ]'''\nb = '''x'''''\nc = 1",
        'a = ""\nb = \'\'\nc = """"""\nd = 1',
        "when = 1979-05-27 07:32:00\nlist = [[1, [2]], []]\nt = {}\n",
        '"a.b" = 1\n\'c d\'.e = 2\n"\\u00e9" = 3\n["x]y"."z"]\nk = 4\n',
        "[[a]]\n[a.b]\nc = 1\n[[a.b.d]]\ne = 1\n[[a.b.d]]\ne = 2\n[[a]]\n[[a.b]]\n",
        "a = [ # one\n 1, 2 # two\n , 3,\n]\nb = inf",
    ],
)
def test_every_place_of_the_parsed_document_is_found(text: str) -> None:
    assert set(locate(text)) == places(tomllib.loads(text))


_keys = st.text("ab-_1", min_size=1, max_size=3)
_values = st.recursive(
    st.sampled_from(["1", "true", '"a # b"', "'c = ]'", '"""x\n[y]"""', "1979-05-27", "-0.5e3"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: "[\n " + " , # c\n".join(each) + "\n]")
        | st.dictionaries(_keys, inner, max_size=3).map(
            lambda each: "{" + ", ".join(f"{key} = {value}" for key, value in each.items()) + "}"
        )
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(_keys, _values, max_size=4), max_size=4))
def test_any_document_is_walked_to_its_end(tables: list[dict[str, str]]) -> None:
    text = "".join("[[t]]\n" + "".join(f"{key} = {value}\n\n" for key, value in table.items()) for table in tables)
    found = locate(text)
    assert set(found) == places(tomllib.loads(text))
    for position in range(len(tables)):
        assert line_of(text, ("t", position)) == "[[t]]"
