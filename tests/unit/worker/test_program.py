"""What Celery would write past the logs is not written."""

from types import SimpleNamespace
from typing import Any

import pytest

from undercroft.worker.application import Application


def test_our_application_starts_a_worker_that_has_no_banner(capfd: pytest.CaptureFixture[str]) -> None:
    worker: Any = Application().Worker

    assert worker.__mro__[1].__name__ == "LoggedWorker"
    worker.emit_banner(SimpleNamespace())
    assert capfd.readouterr().out == ""
