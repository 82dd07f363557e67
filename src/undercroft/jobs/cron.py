"""When a cron line is due, by the clocks of a place."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from undercroft.errors import ConfigurationError


def check_cron(cron: str, zone: str) -> None:
    """Raises ConfigurationError for a line or a zone that means nothing."""
    try:
        CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ConfigurationError(f"{cron!r} is no cron line: {error}.") from error
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"There is no time zone {zone!r} on this machine.", hint="Europe/Berlin is one, if tzdata is installed."
        ) from error


def next_tick_us(cron: str, zone: str, after_us: int) -> int:
    """The first moment past `after_us` that the line names, in microseconds UTC.

    Around a change of the clocks as Debian's cron: what falls into the hour that is left out runs right after it, and
    a daily job runs once in an hour that comes twice.
    """
    after = datetime.fromtimestamp(after_us // 1_000_000, UTC).astimezone(ZoneInfo(zone))
    return round(next(CronSim(cron, after)).timestamp()) * 1_000_000
