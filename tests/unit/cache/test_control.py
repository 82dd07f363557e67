"""The header `x-undercroft-cache-control`."""

import pytest

from undercroft.cache.control import Control, control_of
from undercroft.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("use", Control(use=True)),
        ("no-cache", Control(reads=False)),
        ("No-Store, exact", Control(writes=False, is_exact=True)),
        ("use,max-age=60 , ttl=0", Control(use=True, max_age_s=60, ttl_s=0)),
    ],
)
def test_a_directive_says_what_it_means(text: str, meant: Control) -> None:
    assert control_of(text) == meant


@pytest.mark.parametrize("text", ["yes", "max-age", "max-age=", "max-age=-1", "ttl=1.5", "use=1", "ttl=999999999999"])
def test_anything_else_is_refused_whole(text: str) -> None:
    with pytest.raises(InvalidRequest, match="x-undercroft-cache-control"):
        control_of(text)
