"""`undercroft worker`."""

from argparse import ArgumentParser, Namespace

from undercroft.api.logs import configure
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config
from undercroft.settings.sources import Source
from undercroft.telemetry.uncaught import log_uncaught
from undercroft.worker.running import run_worker

HELP = "Runs jobs, and nothing else.  Example: undercroft worker --concurrency 16 --queues default,nightly"


def arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--concurrency", type=int, metavar="N", help="jobs that run at once (default: 8)")
    parser.add_argument("--queues", metavar="NAMES", help="only these queues, with commas between (default: all)")


def run(options: Namespace, out: Output) -> int:
    overrides: dict[str, object] = {"server.role": "worker"}
    if options.concurrency is not None:
        overrides["jobs.at_once"] = options.concurrency
    if options.queues is not None:
        overrides["jobs.serves"] = [name.strip() for name in options.queues.split(",")]
    source = Source.here(options.config, overrides, stored=encrypted_store)
    loaded = source.load()
    for warning in loaded.warnings:
        out.note(warning)
    configure(loaded.settings)
    log_uncaught()
    return run_worker(loaded.settings, source)
