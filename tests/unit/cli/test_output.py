"""People get tables, programs get JSON, and stdout holds results only."""

import io
import json
from collections.abc import Iterator
from itertools import count

import pytest

from undercroft.cli.output import Output


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def output(*, as_json: bool = False, errors: io.StringIO | None = None) -> tuple[Output, io.StringIO]:
    stream = io.StringIO()
    return Output(as_json, stream, errors or io.StringIO()), stream


def test_a_value_is_shown_as_its_text_or_as_json() -> None:
    out, stream = output()
    out.show({"a": 1}, text="a is 1")
    assert stream.getvalue() == "a is 1\n"
    out, stream = output(as_json=True)
    out.show({"a": 1}, text="a is 1")
    assert json.loads(stream.getvalue()) == {"a": 1}


def test_a_table_on_a_pipe_has_a_line_per_row_however_long() -> None:
    out, stream = output()
    out.table([{"name": "x" * 500, "number": 5}, {"name": "[red]y", "number": 12}])
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert lines[0].split() == ["name", "number"]
    assert lines[1] == "x" * 500 + "       5"
    assert lines[2] == "[red]y".ljust(500) + "      12"


def test_a_table_is_a_list_with_json_even_when_empty() -> None:
    out, stream = output(as_json=True)
    out.table([], empty="nothing yet")
    assert stream.getvalue() == "[]\n"


def test_an_empty_table_says_so() -> None:
    out, stream = output()
    out.table([], empty="nothing yet")
    assert stream.getvalue() == "nothing yet\n"


def test_chosen_columns_come_in_their_order_and_a_missing_value_is_blank() -> None:
    out, stream = output()
    out.table([{"a": 1, "b": 2}, {"a": 3}], columns=["b", "a"])
    assert [line.split() for line in stream.getvalue().splitlines()] == [["b", "a"], ["2", "1"], ["3"]]


def test_control_characters_do_not_reach_the_terminal() -> None:
    out, stream = output()
    out.table([{"a": "x\x1b[31my\nz"}])
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_lines_and_notes_leave_stdout_to_the_json() -> None:
    errors = io.StringIO()
    out, stream = output(as_json=True, errors=errors)
    out.line("listening")
    out.note("by the way")
    assert (stream.getvalue(), errors.getvalue()) == ("", "listening\nby the way\n")


@pytest.mark.parametrize(
    ("stream", "seconds", "shows"), [(Terminal(), 1.5, True), (Terminal(), 0.1, False), (io.StringIO(), 1.5, False)]
)
def test_progress_appears_on_a_terminal_when_it_takes_long(stream: io.StringIO, seconds: float, shows: bool) -> None:
    def clock() -> Iterator[float]:
        yield from count(0.0, seconds)

    ticks = clock()
    out = Output(json=False, stream=io.StringIO(), error_stream=stream, monotonic=lambda: next(ticks))
    with out.progress("fetching", 3) as advance:
        for _ in range(3):
            advance(1)
    assert ("fetching" in stream.getvalue()) == shows
