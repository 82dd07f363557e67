"""How deep is too deep, whatever the strings hold."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest
from undercroft.wire.nesting import demand_shallow

names = st.text(alphabet='[]{}"\\b', max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='[]{}"\\a', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[]{}"\\b', max_size=4), inner, max_size=4)
    ),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


def is_refused(body: bytes, limit: int) -> bool:
    try:
        demand_shallow(body, limit=limit)
    except InvalidRequest:
        return True
    return False


@given(values, st.integers(1, 8))
def test_a_text_is_refused_exactly_when_it_is_nested_deeper(value: object, limit: int) -> None:
    assert is_refused(msgspec.json.encode(value), limit) is (depth_of(value) > limit)


LONG = [b"[" * 5_000_000, b'{"a":' * 1_000_000, b"[{" * 1_000_000, b"[]" * 1_000_000, b'"' * 999]


@pytest.mark.parametrize("body", LONG, ids=range(len(LONG)))
def test_no_text_takes_long_and_none_is_an_error_of_another_kind(body: bytes) -> None:
    is_refused(body, 128)


@given(st.binary(max_size=200))
def test_what_is_no_json_is_left_to_the_parser(body: bytes) -> None:
    is_refused(body, 200)
