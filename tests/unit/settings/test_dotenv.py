"""`.env` is read as its writers mean it."""

import pytest

from undercroft.settings.dotenv import Entry, parse


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("  A = spaced out  ", "spaced out"),
        ("A=", ""),
        ("A=   # nothing", ""),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A='$x \\n #'", "$x \\n #"),
        ('A="x \\"y\\"\\n#" # c', 'x "y"\n#'),
        ("A=postgres://u:p@h/d?x=1", "postgres://u:p@h/d?x=1"),
        ("A=$(rm -rf /)", "$(rm -rf /)"),
        ("A=1\r", "1"),
    ],
)
def test_a_value_is_taken_as_it_stands(line: str, value: str) -> None:
    assert parse(line) == ([Entry("A", value, 1)], [])


def test_lines_that_are_no_entries_are_told_by_number() -> None:
    entries, odd = parse("# c\n\nnot an entry\n1A=2\nB='open\nC='a' b\nD=ok")
    assert entries == [Entry("D", "ok", 7)]
    assert odd == [3, 4, 5, 6]
