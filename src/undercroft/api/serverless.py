"""What hosts of functions call. All that makes the application is imported by then, not with this."""

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from undercroft.errors import MissingExtra

if TYPE_CHECKING:
    from undercroft.api.frozen import OneLoop

YOUNG_OBJECTS: Final = 20_000
"""As a server's (`api/server.py`)."""


@contextmanager
def unsearched() -> Iterator[None]:
    """Looks for no garbage among what is made in there: a start makes objects that stay, and going through them again
    and again takes as long as connecting to the database. They are left alone afterwards, too."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        gc.enable()


def vercel_app(folder: Path, *, timeout_s: int) -> "OneLoop":
    """What Vercel's Python runtime calls. Raises ConfigurationError."""
    with unsearched():
        from undercroft.api.frozen import OneLoop, serverless_app

        return OneLoop(serverless_app(folder, timeout_s=timeout_s))


def lambda_handler(folder: Path, *, timeout_s: int) -> Callable[[Any, Any], Any]:
    """What AWS Lambda calls, behind a function URL, an API Gateway or a load balancer. Raises ConfigurationError.

    It starts everything at once, and connects: Lambda gives a new function its whole CPU only until it is ready for its
    first event.
    """
    with unsearched():
        from undercroft.api.frozen import serverless_app

        try:
            from mangum import Mangum
        except ImportError as error:
            raise MissingExtra("AWS Lambda", extra="lambda") from error

        _log_once()
        app = serverless_app(folder, timeout_s=timeout_s)
        asyncio.get_event_loop().run_until_complete(app.begin())
        return Mangum(app, lifespan="off")


def _log_once() -> None:
    """Lambda's runtime has put a handler of its own on the root logger, and Mangum tells of each request as well."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler).__module__.startswith("awslambdaric"):
            root.removeHandler(handler)
    logging.getLogger("mangum").setLevel(logging.WARNING)
