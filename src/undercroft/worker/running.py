"""The process of `undercroft worker`, whatever brings it its jobs."""

import os
import socket

from undercroft.errors import MissingExtra
from undercroft.settings.model import Settings
from undercroft.settings.sources import Source
from undercroft.worker.runtime import work_until_told


def run_worker(settings: Settings, source: Source) -> int:
    """Until SIGTERM or SIGINT; the exit code."""
    if settings.job_delivery != "celery":
        return work_until_told(settings)
    try:
        from undercroft.worker.application import app
    except ImportError as error:
        raise MissingExtra("Celery", extra="celery") from error
    app.source = source
    # Mingling and gossip are for workers that share state in memory; Flower and `celery inspect` need neither.
    name = f"undercroft-{os.getpid()}@{socket.gethostname()}"  # two of one name answer `celery inspect` as one
    worker = app.Worker(hostname=name, quiet=True, without_mingle=True, without_gossip=True, loglevel="WARNING")
    worker.start()
    return int(worker.exitcode or 0)
