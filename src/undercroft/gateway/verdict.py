"""What an error says about the deployment that it came from."""

from typing import Final

from undercroft.errors import UpstreamError, UpstreamRefused
from undercroft.gateway.state import BAD, GOOD, SILENT, Verdict
from undercroft.wire.errors import QUOTA_SPENT

LONGEST_REST_S: Final = 300.0
"""A provider's word is taken for this long at most: then it is asked again."""
CREDENTIAL_REST_S: Final = 60.0
"""A key that is refused, or an account without money, does not mend itself in seconds."""
_CREDENTIAL: Final = frozenset({401, 402, 403, 407})


def verdict_of(error: BaseException | None) -> Verdict:
    """The caller's own mistake is no fault of the deployment, which has answered; a caller who left says nothing."""
    if error is None:
        return GOOD
    if not isinstance(error, UpstreamError):
        return SILENT
    if isinstance(error, UpstreamRefused):
        if error.upstream_status in _CREDENTIAL:
            return Verdict(ok=None, rest_s=CREDENTIAL_REST_S, why="credential")
        return GOOD
    if error.code == QUOTA_SPENT:
        return Verdict(ok=None, rest_s=max(CREDENTIAL_REST_S, error.retry_after_s or 0.0), why="quota")
    if error.retry_after_s:
        return Verdict(ok=None, rest_s=min(LONGEST_REST_S, error.retry_after_s), why="rate_limited")
    return BAD
