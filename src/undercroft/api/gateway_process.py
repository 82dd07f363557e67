"""`python -m undercroft.api.gateway_process`: one of several gateway workers."""

import sys

from undercroft.api.app import Application
from undercroft.api.binding import is_loopback
from undercroft.api.child import run_child, shared

if __name__ == "__main__":
    sys.exit(
        run_child(
            lambda settings, options, sock: Application(
                settings, bind="loopback" if is_loopback(sock) else "public", shared=shared(options)
            )
        )
    )
