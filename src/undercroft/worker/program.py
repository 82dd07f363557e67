"""Celery's worker as a program whose every line goes through the logs."""

from typing import Any

from celery.apps import worker as celery_worker


class LoggedWorker(celery_worker.Worker):  # type: ignore[misc]  # Celery has no types
    """Celery writes its banner, and a word at each signal, past every logger; `worker_ready` and the like say it."""

    def on_before_init(self, **options: Any) -> None:
        """Before Celery's first word, which is a warning to whoever works as root."""
        self.app.log.setup_logging_subsystem()
        super().on_before_init(**options)

    def emit_banner(self) -> None:
        """Nothing: what it would print, `undercroft doctor` and `celery inspect` tell whoever asks."""

    def install_platform_tweaks(self, worker: "LoggedWorker") -> None:
        super().install_platform_tweaks(worker)
        celery_worker.install_worker_term_handler(worker, verbose=False)
        celery_worker.install_worker_int_handler(worker, callback=_end_at_once_next_time, verbose=False)


def _end_at_once_next_time(worker: LoggedWorker) -> None:
    """The second Ctrl+C does not wait for what runs."""
    celery_worker.install_worker_term_hard_handler(worker, sig="SIGINT", verbose=False)
