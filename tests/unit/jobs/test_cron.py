"""Cron lines, by the clocks of a place."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from undercroft.errors import ConfigurationError
from undercroft.jobs.cron import check_cron, next_tick_us


def us(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1_000_000)


def test_the_next_tick_is_past_the_moment_asked_about() -> None:
    assert next_tick_us("0 7 * * 1-5", "UTC", us("2026-01-02T07:00")) == us("2026-01-05T07:00")
    assert next_tick_us("*/15 * * * *", "UTC", us("2026-01-02T07:14:59")) == us("2026-01-02T07:15")


def test_ticks_go_by_the_clocks_of_their_place() -> None:
    zone = "America/New_York"
    assert next_tick_us("30 9 * * *", zone, us("2026-07-01T00:00")) == us("2026-07-01T09:30", zone)


def test_a_daily_tick_in_the_hour_that_is_left_out_comes_right_after_it() -> None:
    zone = "Europe/Berlin"  # 2026-03-29, 02:00 becomes 03:00
    assert next_tick_us("30 2 * * *", zone, us("2026-03-29T01:00", zone)) == us("2026-03-29T03:00", zone)


def test_a_daily_tick_in_the_hour_that_comes_twice_comes_once() -> None:
    zone = "Europe/Berlin"  # 2026-10-25, 03:00 becomes 02:00
    first = next_tick_us("30 2 * * *", zone, us("2026-10-25T01:00", zone))
    assert next_tick_us("30 2 * * *", zone, first) == us("2026-10-26T02:30", zone)


@pytest.mark.parametrize(("cron", "zone"), [("* * *", "UTC"), ("61 * * * *", "UTC"), ("* * * * *", "Mars/Base")])
def test_what_means_nothing_is_refused(cron: str, zone: str) -> None:
    with pytest.raises(ConfigurationError):
        check_cron(cron, zone)
