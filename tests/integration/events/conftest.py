"""A server that several tests only ask."""

from collections.abc import Iterator

import pytest

from tests.support.receiver import ALLOWED
from tests.support.server import Server, serving


@pytest.fixture(scope="module")
def webhook_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without webhooks."""
    with serving(tmp_path_factory.mktemp("server"), toml=ALLOWED) as server:
        yield server
