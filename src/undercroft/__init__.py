"""Infrastructure for AI applications. Each name is loaded when it is first used: importing this costs nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from undercroft.access.secrets import decrypt_api_key as decrypt_api_key
    from undercroft.access.secrets import encrypt_api_key as encrypt_api_key
    from undercroft.api.app import create_app as create_app
    from undercroft.assembly.cached_completion import cached_completion as cached_completion
    from undercroft.assembly.embedded import agenerate as agenerate
    from undercroft.assembly.embedded import generate as generate
    from undercroft.assembly.local_models import fetch_models as fetch_models
    from undercroft.events.subscribers import on as on
    from undercroft.gateway.balance import LoadBalancer as LoadBalancer
    from undercroft.jobs.functions import job as job
    from undercroft.jobs.handlers import JobContext as JobContext
    from undercroft.planning.estimate import calculate_cost as calculate_cost
    from undercroft.planning.estimate import estimate_resources as estimate_resources
    from undercroft.planning.instances import recommend_instance as recommend_instance
    from undercroft.planning.instances import select_instance_type as select_instance_type
    from undercroft.telemetry.logs import configure_logging as configure_logging
    from undercroft.telemetry.logs import get_logger as get_logger
    from undercroft.telemetry.monitor import monitor_endpoint as monitor_endpoint
    from undercroft.telemetry.redaction import SensitiveFilter as SensitiveFilter
    from undercroft.worker.tasks import process_ai_request as process_ai_request

__version__ = "0.1.0"

_HOMES = {
    "JobContext": "undercroft.jobs.handlers",
    "LoadBalancer": "undercroft.gateway.balance",
    "SensitiveFilter": "undercroft.telemetry.redaction",
    "agenerate": "undercroft.assembly.embedded",
    "cached_completion": "undercroft.assembly.cached_completion",
    "calculate_cost": "undercroft.planning.estimate",
    "configure_logging": "undercroft.telemetry.logs",
    "create_app": "undercroft.api.app",
    "decrypt_api_key": "undercroft.access.secrets",
    "encrypt_api_key": "undercroft.access.secrets",
    "estimate_resources": "undercroft.planning.estimate",
    "fetch_models": "undercroft.assembly.local_models",
    "generate": "undercroft.assembly.embedded",
    "get_logger": "undercroft.telemetry.logs",
    "job": "undercroft.jobs.functions",
    "monitor_endpoint": "undercroft.telemetry.monitor",
    "on": "undercroft.events.subscribers",
    "process_ai_request": "undercroft.worker.tasks",
    "recommend_instance": "undercroft.planning.instances",
    "select_instance_type": "undercroft.planning.instances",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - names of _HOMES are text


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'undercroft' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next use finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
