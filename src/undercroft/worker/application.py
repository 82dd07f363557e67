"""The Celery application. Nothing is read before it is used."""

import logging
import threading
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from celery import Celery, bootsteps
from celery.app.log import Logging

from undercroft.assembly.job_delivery import celery_options
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError
from undercroft.jobs.queues.celery_app import PREFIX
from undercroft.settings.model import Settings
from undercroft.settings.secrets import secrets_of
from undercroft.settings.sources import Source
from undercroft.telemetry.logs import configure_logging
from undercroft.telemetry.uncaught import log_uncaught
from undercroft.worker.handing_in import JobRows
from undercroft.worker.runtime import Runtime

POOLS: Final = ("solo", "thread")
CHATTY: Final = ("celery.worker.strategy", "celery.app.trace")
"""Two lines for every message, arguments included."""


class Logs(Logging):  # type: ignore[misc]  # Celery has no types
    """Logs as undercroft does, whichever program starts the worker: in one format, without secrets."""

    def setup_logging_subsystem(self, *_: Any, **__: Any) -> bool:
        """True: there is nothing left for Celery to set up."""
        settings: Settings = self.app.settings
        telemetry = settings.telemetry
        configure_logging(telemetry.log_level, telemetry.log_format, secrets=secrets_of(settings))
        log_uncaught()
        return True


class Application(Celery):  # type: ignore[misc]  # Celery has no types
    """Celery, configured by undercroft's settings."""

    log_cls = Logs
    runtime: Runtime | None = None
    """What does the jobs of this process, where it is a worker."""

    def __init__(self, source: Source | None = None) -> None:
        """`source` is where the settings come from: this process's environment and folder if nothing else is said."""
        self.source = source
        super().__init__("undercroft", set_as_current=False)
        self.add_defaults(self._options)
        self.steps["worker"].add(Working)
        self._opening = threading.Lock()

    @cached_property
    def Worker(self) -> Any:  # noqa: N802 - Celery's name
        """What `undercroft worker` and `celery worker` start."""
        return self.subclass_with_self("undercroft.worker.program:LoggedWorker")

    @cached_property
    def settings(self) -> Settings:
        """Raises ConfigurationError."""
        return self._source().load().settings

    @cached_property
    def rows(self) -> JobRows:
        """Where jobs are handed in: opened once a process."""
        with self._opening:
            return self.__dict__.get("rows") or JobRows(self.settings, clock=SystemClock())

    def worker_settings(self, *, at_once: int) -> Settings:
        """Those of this process as a worker on the queues that Celery was told to consume."""
        source = self._source()
        consumed = [name.removeprefix(PREFIX) for name in self.amqp.queues.consume_from if name.startswith(PREFIX)]
        own = {"server.role": "worker", "jobs.at_once": at_once, "jobs.serves": consumed}
        settings = replace(source, overrides={**source.overrides, **own}).load().settings
        if settings.job_delivery != "celery":
            raise ConfigurationError(
                "There is no broker, so there is nothing for Celery to do.",
                hint="Set CELERY_BROKER_URL, or start 'undercroft worker', which needs none.",
            )
        return settings

    def _source(self) -> Source:
        return self.source or Source.here(stored=encrypted_store)

    def _options(self) -> dict[str, Any]:
        return celery_options(self.settings)


class Working(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Runs jobs for as long as the worker does, also while its broker is away."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        """Raises ConfigurationError for options that cannot be kept: nothing is started then."""
        pool = parent.pool_cls.__module__.rpartition(".")[2]
        if pool not in POOLS:
            raise ConfigurationError(
                f"Jobs cannot run in Celery's pool {pool!r}: they share one event loop in the worker itself.",
                hint="Leave out --pool; --concurrency says how many jobs run at once.",
            )
        self._settings = parent.app.worker_settings(at_once=parent.concurrency)
        super().__init__(parent, **options)

    def start(self, parent: Any) -> None:
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        parent.app.runtime = Runtime(self._settings)
        parent.app.runtime.start()

    def stop(self, parent: Any) -> None:
        """The consumer has stopped; what runs has its grace period."""
        app: Application = parent.app
        if app.runtime is not None:
            app.runtime.stop()


app = Application()
