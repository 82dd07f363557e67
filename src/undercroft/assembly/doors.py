"""The door as the settings have it."""

from pydantic import SecretStr

from undercroft.access.doors import Bind, Door, host_name
from undercroft.settings.model import Settings


def door_of(settings: Settings, bind: Bind) -> Door:
    return Door(
        bind=bind,
        master_key=_text(settings.access.master_key),
        metrics_token=_text(settings.telemetry.metrics_token),
        allowed_hosts=frozenset(host_name(host) or host.lower() for host in settings.server.allowed_hosts),
    )


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
