"""Logging as the settings want it."""

from undercroft.settings.model import Settings
from undercroft.settings.secrets import secrets_of
from undercroft.telemetry.logs import configure_logging


def configure(settings: Settings) -> None:
    """At the start, and whenever another configuration is in force."""
    telemetry = settings.telemetry
    configure_logging(telemetry.log_level, telemetry.log_format, secrets=secrets_of(settings))
