"""Who waits for company, and who does not."""

from undercroft.jobs.queues.pace import ALONE, CLOSE_S, PACE_S, Pace


def come(pace: Pace, count: int, *, gap_s: float, now: float = 0.0) -> float:
    """So many jobs, so far from one another; when the last came."""
    for _ in range(count):
        now += gap_s
        pace.came(now)
    return now


def test_jobs_that_come_one_upon_the_other_wait_until_the_pace_is_kept() -> None:
    pace = Pace()
    now = come(pace, 20, gap_s=CLOSE_S / 2)
    pace.sent(now, has_waited=False, count=1)
    assert pace.rest_s(now) == PACE_S
    assert pace.rest_s(now + PACE_S / 2) == now + PACE_S - (now + PACE_S / 2)
    assert pace.rest_s(now + PACE_S) == 0


def test_a_job_that_comes_alone_every_few_milliseconds_never_waits() -> None:
    pace, now = Pace(), 0.0
    for _ in range(50):
        now = come(pace, 1, gap_s=CLOSE_S * 1.2, now=now)
        assert pace.rest_s(now) == 0
        pace.sent(now, has_waited=False, count=1)


def test_the_first_after_a_pause_goes_at_once() -> None:
    pace = Pace()
    now = come(pace, 20, gap_s=0.001)
    pace.sent(now, has_waited=True, count=9)
    now = come(pace, 1, gap_s=10.0, now=now)
    assert pace.rest_s(now) == 0


def test_who_waited_for_nobody_but_himself_does_not_do_so_again_soon() -> None:
    pace = Pace()
    now = come(pace, 20, gap_s=0.001)
    pace.sent(now, has_waited=True, count=1)
    for _ in range(ALONE):
        now = come(pace, 1, gap_s=0.001, now=now)
        assert pace.rest_s(now) == 0
        pace.sent(now, has_waited=False, count=1)
    now = come(pace, 1, gap_s=0.001, now=now)
    assert pace.rest_s(now) > 0, "company may have come since"
