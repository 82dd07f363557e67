"""How large a slice is."""

from hypothesis import given
from hypothesis import strategies as st

from undercroft.ledger.slices import slice_size

WHOLE = st.integers(0, 10**15)


@given(requested=WHOLE, left=st.integers(-(10**15), 10**15), owners=st.integers(1, 1000))
def test_a_slice_covers_what_was_asked_for_or_is_nothing_and_never_more_than_is_left(
    requested: int, left: int, owners: int
) -> None:
    size = slice_size(requested, left=left, owners=owners)
    assert size == 0 if requested > left else requested <= size <= left


def test_a_slice_is_an_eighth_of_an_owners_fair_share_so_that_no_idle_owner_has_much() -> None:
    assert slice_size(1, left=1000, owners=1) == 125
    assert slice_size(1, left=1000, owners=5) == 25
    assert slice_size(40, left=1000, owners=5) == 40
    assert slice_size(1, left=10, owners=5) == 1
    assert slice_size(0, left=0, owners=1) == 0
