"""`undercroft serve`."""

import socket
import sys
from argparse import ArgumentParser, Namespace

from undercroft.api.app import Application
from undercroft.api.binding import bind, is_loopback
from undercroft.api.logs import configure
from undercroft.api.reload import OwnReloading
from undercroft.api.server import serve
from undercroft.api.workers import serve_workers
from undercroft.assembly.bundled import has_something_to_answer_with
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config
from undercroft.settings.sources import Source
from undercroft.telemetry.uncaught import log_uncaught

HELP = "Starts the server.  Example: undercroft serve --port 9000"


def arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000; 0 picks a free one)")
    parser.add_argument("--workers", type=int, metavar="N", help="gateway processes (default: 1)")
    parser.add_argument("--role", help="all, or some of gateway,worker,console (default: all)")


def run(options: Namespace, out: Output) -> int:
    given = {
        "server.host": options.host,
        "server.port": options.port,
        "server.workers": options.workers,
        "server.role": options.role,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    source = Source.here(options.config, overrides, stored=encrypted_store)
    loaded = source.load()
    for warning in loaded.warnings:
        out.note(warning)
    settings = loaded.settings
    configure(settings)
    log_uncaught()

    def ready(sock: socket.socket) -> None:
        _announce(sock, out, has_key=settings.access.master_key is not None)
        if not has_something_to_answer_with(settings):
            out.line("  no model is configured and the bundled one is not installed: type  undercroft models pull")
        sys.stdout.flush()

    if settings.server.workers > 1:
        return serve_workers(settings, source=source, ready=ready, applied=configure)

    with bind(settings.server.host, settings.server.port) as sock:
        application = Application(
            settings,
            bind="loopback" if is_loopback(sock) else "public",
            reloading=OwnReloading(source),
            applied=configure,
        )
        serve(application, settings, sock, ready=lambda: ready(sock))
    return 0


def _announce(sock: socket.socket, out: Output, *, has_key: bool) -> None:
    host, port = sock.getsockname()[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    key = " -H 'Authorization: Bearer …'" if has_key else ""
    out.line(f"undercroft is listening on {base}")
    out.line(f"  try:  curl -X POST '{base}/api/generate?prompt=What+is+the+capital+of+France%3F'{key}")
    out.line(f"  page: {base}/")
