"""What an error says about a deployment."""

import asyncio

import pytest

from undercroft.errors import (
    ClientClosed,
    InvalidRequest,
    Unavailable,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.gateway.state import BAD, GOOD, SILENT, Verdict
from undercroft.gateway.verdict import CREDENTIAL_REST_S, LONGEST_REST_S, verdict_of
from undercroft.wire.errors import QUOTA_SPENT

KEY_REFUSED = Verdict(ok=None, rest_s=CREDENTIAL_REST_S, why="credential")


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, GOOD),
        (UpstreamOverloaded("500"), BAD),
        (UpstreamTimedOut("silent"), BAD),
        (UpstreamUnreachable("reset"), BAD),
        (UpstreamGarbled("html"), BAD),
        (UpstreamOverloaded("429, at once", retry_after_s=0.0), BAD),
        (UpstreamOverloaded("429", retry_after_s=7.5), Verdict(ok=None, rest_s=7.5, why="rate_limited")),
        (UpstreamOverloaded("429", retry_after_s=1e9), Verdict(ok=None, rest_s=LONGEST_REST_S, why="rate_limited")),
        (UpstreamOverloaded("pay", code=QUOTA_SPENT), Verdict(ok=None, rest_s=CREDENTIAL_REST_S, why="quota")),
        (UpstreamRefused("key", upstream_status=401), KEY_REFUSED),
        (UpstreamRefused("key", upstream_status=403), KEY_REFUSED),
        (UpstreamRefused("no such voice", upstream_status=400), GOOD),
        (InvalidRequest("not here"), SILENT),
        (Unavailable("no file descriptors"), SILENT),
        (ClientClosed("gone"), SILENT),
        (asyncio.CancelledError(), SILENT),
        (GeneratorExit(), SILENT),
        (ZeroDivisionError(), SILENT),
    ],
)
def test_a_verdict(error: BaseException | None, verdict: Verdict) -> None:
    assert verdict_of(error) == verdict
