"""SIGHUP says two things: read the configuration again, or, from a terminal that was closed, that the user has left."""

import os
import signal


class Terminal:
    """The terminal that the process was started from, if it is to end with it.

    One that ignores SIGHUP (`nohup`) is to outlive its terminal, and for one without, SIGHUP can only mean a reload.
    """

    def __init__(self) -> None:
        self._ends_us = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _is_there()

    def is_gone(self) -> bool:
        """Whether it was there and has been closed."""
        return self._ends_us and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
