"""Files that are the same whatever is described."""

import pytest

from undercroft.deploy.static import texts


@pytest.mark.parametrize(
    ("folder", "path"),
    [("helm", "templates/tests/health.yaml"), ("terraform-aws", "network.tf"), ("github-actions", "watch.py")],
)
def test_a_folder_is_read_with_those_below_it(folder: str, path: str) -> None:
    found = texts(folder)

    assert found[path]
    assert list(found) == sorted(found)
    assert not any("__pycache__" in each for each in found)
