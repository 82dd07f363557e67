"""Where a call may go after a failure."""

import pytest

from undercroft.errors import (
    InvalidRequest,
    NotFound,
    Unavailable,
    UndercroftError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.gateway.course import Course, course
from undercroft.wire.errors import QUOTA_SPENT

CASES: list[tuple[UndercroftError, Course]] = [
    (UpstreamOverloaded("busy", upstream_status=503), Course.AGAIN),
    (UpstreamUnreachable("reset"), Course.AGAIN),
    (UpstreamGarbled("a web page"), Course.AGAIN),
    (UpstreamTimedOut("it says so", upstream_status=504), Course.AGAIN),
    (UpstreamTimedOut("silent"), Course.ELSEWHERE),
    (UpstreamRefused("our key", upstream_status=401), Course.ELSEWHERE),
    (UpstreamRefused("no such model there", upstream_status=404, code="model_not_found"), Course.ELSEWHERE),
    (Unavailable("loading", code="model_loading"), Course.ELSEWHERE),
    (UpstreamRefused("no such voice", upstream_status=400), Course.NOWHERE),
    (UpstreamRefused("not here", upstream_status=404), Course.NOWHERE),
    (UpstreamRefused("too long", upstream_status=400, code="context_length_exceeded"), Course.LONGER_CONTEXT),
    (InvalidRequest("too long for all", code="context_length_exceeded"), Course.LONGER_CONTEXT),
    (UpstreamRefused("no", upstream_status=400, code="content_filter"), Course.OTHER_POLICY),
    (UpstreamRefused("no", upstream_status=400, code="content_policy_violation"), Course.OTHER_POLICY),
    (Unavailable("disk full", code="ledger_unavailable"), Course.NOWHERE),
    (NotFound("what?"), Course.NOWHERE),
]


@pytest.mark.parametrize(("error", "expected"), CASES, ids=str)
def test_the_kind_and_code_of_a_failure_decide(error: UndercroftError, expected: Course) -> None:
    assert course(error) is expected


def test_a_spent_quota_is_another_accounts_chance() -> None:
    error = UpstreamOverloaded("no quota left", code=QUOTA_SPENT)
    assert course(error) is Course.ELSEWHERE
