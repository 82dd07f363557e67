"""Tags are what the header says, or it is refused; of a request's own labels, those alone that the operator named."""

import pytest

from undercroft.errors import InvalidRequest
from undercroft.gateway.tagging import HEADER, picked, tags_of


def test_tags_are_named_values_between_commas() -> None:
    assert tags_of("project=apollo, feature = search ,,") == {"project": "apollo", "feature": "search"}
    assert tags_of("") == {}
    assert tags_of("formula=a=b") == {"formula": "a=b"}


@pytest.mark.parametrize(
    "header",
    ["project", "=apollo", "pro ject=x", "project=", f"project={'x' * 65}", f"{'n' * 65}=x", "project=a\x07b"],
)
def test_what_is_no_tag_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tags_of(header)
    assert refused.value.param == HEADER


def test_more_than_eight_tags_are_refused() -> None:
    assert len(tags_of(",".join(f"t{number}=x" for number in range(8)))) == 8
    with pytest.raises(InvalidRequest, match="9 tags; it takes 8"):
        tags_of(",".join(f"t{number}=x" for number in range(9)))


def test_labels_are_picked_by_name_and_cut() -> None:
    metadata = {"project": "x" * 100, "secret": "no", "empty": "", "number": 3}
    assert picked(metadata, ("project", "number", "empty", "other")) == {"project": "x" * 64, "number": "3"}
    assert picked(metadata, ()) == picked(None, ("project",)) == {}
