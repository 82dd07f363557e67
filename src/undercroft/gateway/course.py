"""Where a call may go after a failure: the one place that decides it, by the error's kind and code alone."""

import enum
from typing import Final

from undercroft.errors import Unavailable, UndercroftError, UpstreamError, UpstreamRefused, UpstreamTimedOut
from undercroft.wire.errors import QUOTA_SPENT

CONTEXT_CODES: Final = frozenset({"context_length_exceeded"})
POLICY_CODES: Final = frozenset({"content_policy_violation", "content_filter"})
_OUR_OWN: Final = frozenset({401, 402, 403, 407})
"""Our credential is at fault: another deployment has another one."""
_NOT_THERE: Final = "model_not_found"
_NOT_MENDED_ELSEWHERE: Final = "ledger_unavailable"


class Course(enum.Enum):
    """What may help."""

    AGAIN = enum.auto()
    """The same deployment may answer the next time."""
    ELSEWHERE = enum.auto()
    """This deployment will not answer this call; another may."""
    LONGER_CONTEXT = enum.auto()
    """The prompt does not fit: only a model with a longer context can help."""
    OTHER_POLICY = enum.auto()
    """The content was refused: nothing helps, unless the operator has said where such calls may go."""
    NOWHERE = enum.auto()
    """The request itself is at fault."""


def course(error: UndercroftError) -> Course:
    """What may help after this failure."""
    if error.code in CONTEXT_CODES:
        return Course.LONGER_CONTEXT
    if error.code in POLICY_CODES:
        return Course.OTHER_POLICY
    if isinstance(error, UpstreamRefused):
        if error.retryable:  # the provider said so itself
            return Course.AGAIN
        is_ours = error.upstream_status in _OUR_OWN or error.code == _NOT_THERE
        return Course.ELSEWHERE if is_ours else Course.NOWHERE
    if isinstance(error, UpstreamError):
        may_answer = error.retryable and error.code != QUOTA_SPENT and not is_silence(error)
        return Course.AGAIN if may_answer else Course.ELSEWHERE
    if isinstance(error, Unavailable) and error.code != _NOT_MENDED_ELSEWHERE:
        return Course.ELSEWHERE
    return Course.NOWHERE


def is_silence(error: BaseException) -> bool:
    """Whether a deployment said nothing for too long: asking it again would only double the wait."""
    return isinstance(error, UpstreamTimedOut) and error.upstream_status is None
