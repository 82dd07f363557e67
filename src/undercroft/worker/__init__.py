"""Processes that run jobs: `undercroft worker`, and `celery -A undercroft.worker worker`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from undercroft.worker.application import app as app


def __getattr__(name: str) -> Any:
    """`app` is what Celery looks for; a worker without a broker runs where Celery is not installed."""
    if name == "app":
        from undercroft.worker.application import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
