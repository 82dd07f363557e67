"""Pieces of several tool calls, put in order."""

from hypothesis import given
from hypothesis import strategies as st

from undercroft.llm.types import ToolCallDelta
from undercroft.wire.anthropic.calls import CallQueue


def piece(index: int, arguments: str) -> ToolCallDelta:
    return ToolCallDelta(index=index, arguments=arguments)


def given_out(pieces: list[ToolCallDelta]) -> list[list[ToolCallDelta]]:
    queue = CallQueue()
    return [*(queue.add(each) for each in pieces), queue.rest()]


def test_calls_that_come_one_after_the_other_are_not_held_back() -> None:
    pieces = [piece(0, '{"a":'), piece(0, "1}"), piece(1, ""), piece(1, "{}")]
    assert given_out(pieces) == [[each] for each in pieces] + [[]]


def test_pieces_of_another_call_wait_while_one_is_not_whole() -> None:
    pieces = [piece(0, ""), piece(1, ""), piece(0, "{}"), piece(1, "{}")]
    assert given_out(pieces) == [[pieces[0]], [], [pieces[2]], [pieces[1], pieces[3]], []]


def test_a_call_without_arguments_gives_way_at_the_end() -> None:
    pieces = [piece(0, ""), piece(1, '{"a"'), piece(1, ":1}")]
    assert given_out(pieces) == [[pieces[0]], [], [], pieces[1:]]


@given(st.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2]))
def test_each_call_comes_in_one_run_and_whole(order: list[int]) -> None:
    fragments = {index: iter(['{"n"', ":", f"{index}}}"]) for index in range(3)}
    pieces = [piece(index, next(fragments[index])) for index in order]
    flat = [each for out in given_out(pieces) for each in out]
    runs = [each.index for place, each in enumerate(flat) if place == 0 or flat[place - 1].index != each.index]
    assert sorted(runs) == [0, 1, 2]
    for index in range(3):
        assert "".join(each.arguments for each in flat if each.index == index) == f'{{"n":{index}}}'
