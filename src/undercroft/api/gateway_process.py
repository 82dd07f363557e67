"""`python -m undercroft.api.gateway_process`: one of several gateway workers."""

import sys

from undercroft.api.app import Application
from undercroft.api.binding import is_loopback
from undercroft.api.child import Given, run_child
from undercroft.api.logs import configure
from undercroft.api.reload import WorkerReloading


def make(given: Given) -> Application:
    return Application(
        given.settings,
        bind="loopback" if all(map(is_loopback, (given.sock, *given.lanes))) else "public",
        shared=given.shared,
        reloading=WorkerReloading(given.shared.control),
        generation=given.generation,
        applied=configure,
    )


if __name__ == "__main__":
    sys.exit(run_child(make))
