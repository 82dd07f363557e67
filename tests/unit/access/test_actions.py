"""Each thing that is done has one name, with a word about it."""

import re
from typing import get_args

from undercroft.access.actions import ACTIONS, Action
from undercroft.releases.types import MOVES, MoveName


def test_every_name_is_described_once_in_one_form() -> None:
    assert list(ACTIONS) == list(get_args(Action))
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", name) for name in ACTIONS)
    assert len(set(ACTIONS.values())) == len(ACTIONS)


def test_every_move_of_a_release_has_its_name() -> None:
    assert set(MOVES) == set(get_args(MoveName))
