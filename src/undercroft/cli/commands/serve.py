"""`undercroft serve`."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from undercroft.cli.output import Output

HELP = "Starts the server.  Example: undercroft serve --port 9000"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: undercroft.toml)")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000; 0 picks a free one)")


def run(options: Namespace, out: Output) -> int:
    from undercroft.settings.secrets import secrets_of
    from undercroft.settings.sources import load
    from undercroft.telemetry.logs import configure_logging

    given = {"server.host": options.host, "server.port": options.port}
    loaded = load(
        config=options.config,
        environment=os.environ,
        directory=Path.cwd(),
        overrides={name: value for name, value in given.items() if value is not None},
    )
    for warning in loaded.warnings:
        out.note(warning)
    settings = loaded.settings
    telemetry = settings.telemetry
    configure_logging(telemetry.log_level, telemetry.log_format, secrets=secrets_of(settings))

    from undercroft.api.binding import bind
    from undercroft.api.server import run as run_server

    with bind(settings.server.host, settings.server.port) as sock:
        host, port = sock.getsockname()[:2]
        base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

        def ready() -> None:
            key = " -H 'Authorization: Bearer …'" if settings.access.master_key else ""
            out.line(f"undercroft is listening on {base}")
            out.line(f"  try:  curl -X POST '{base}/api/generate?prompt=What+is+the+capital+of+France%3F'{key}")
            out.line(f"  page: {base}/")
            sys.stdout.flush()

        run_server(settings, sock, ready=ready)
    return 0
