"""Which format a request is told of its error in."""

import pytest

from undercroft.api.envelopes import envelope_of
from undercroft.api.exchange import Exchange
from undercroft.wire import errors
from undercroft.wire.anthropic import errors as anthropic


def exchange(path: str, *, version: bool = False, root: str = "") -> Exchange:
    async def nothing(*_: object) -> dict[str, object]:
        return {}

    headers = [(b"anthropic-version", b"2023-06-01")] if version else []
    scope = {"type": "http", "method": "POST", "path": root + path, "root_path": root, "headers": headers}
    return Exchange(scope, nothing, nothing, id="req_1", started=0.0, started_us=0, closing=False)  # type: ignore[arg-type]  # never sent


@pytest.mark.parametrize("root", ["", "/mounted"])
@pytest.mark.parametrize(
    ("path", "version", "is_anthropics"),
    [
        ("/v1/messages", False, True),
        ("/v1/messages/count_tokens", False, True),
        ("/v1/messages/nowhere", False, True),
        ("/v1/messagesx", False, False),
        ("/v1/models", True, True),
        ("/v1/models/x", True, True),
        ("/v1/models", False, False),
        ("/v1/chat/completions", True, False),
    ],
)
def test_the_path_decides_and_the_version_where_two_formats_share_it(
    path: str, root: str, *, version: bool, is_anthropics: bool
) -> None:
    expected = anthropic.envelope if is_anthropics else errors.envelope
    assert envelope_of(exchange(path, version=version, root=root)) is expected
