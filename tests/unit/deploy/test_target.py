"""Which targets there are, and what is said about others."""

import pytest

from undercroft.deploy.target import BUILT_IN, find, names
from undercroft.errors import InvalidRequest


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_target_is_found_by_its_name(name: str) -> None:
    target = find(name)

    assert target.name == name
    assert target.summary


def test_an_unknown_target_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest) as refused:
        find("dokcer")

    assert str(refused.value).startswith(f"there is no target 'dokcer'; there are {', '.join(names())}")
    assert "did you mean 'docker'?" in str(refused.value)
