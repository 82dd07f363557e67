"""`undercroft models`."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from undercroft.assembly.local_models import faults, listed, pull
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.settings.model import Settings
from undercroft.settings.sources import load

HELP = """Lists the models that can be asked for; checks and fetches the weights of the bundled ones.

Example: undercroft models list
         undercroft models check
         undercroft models pull"""

_LIST = "Every model that callers may ask for, and what answers.  Example: undercroft models list --json"
_CHECK = "Whether the local models' files have their pinned hashes (exit code 1: no).  Example: undercroft models check"
_PULL = "Fetches the bundled models (176 MB), once.  Example: undercroft models pull --into /srv/models"


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    each_model = actions.add_parser("list", help="every model that callers may ask for", description=_LIST)
    check = actions.add_parser("check", help="whether the local models' files are whole", description=_CHECK)
    pull = actions.add_parser("pull", help="fetches the bundled models", description=_PULL)
    for action in (each_model, check, pull):
        add_config(action)
        add_json(action)
    pull.add_argument(
        "--into", type=Path, metavar="DIR", help="where to put them (default: where they are found, else your cache)"
    )


def run(options: Namespace, out: Output) -> int:
    loaded = load(config=options.config, environment=os.environ, directory=Path.cwd())
    for warning in loaded.warnings:
        out.note(f"warning: {warning}")
    match options.action:
        case "list":
            return _list(loaded.settings, out)
        case "check":
            return _check(loaded.settings, out)
        case _:
            return _pull(loaded.settings, options.into, out)


def _list(settings: Settings, out: Output) -> int:
    out.table(listed(settings))
    return 0


def _check(settings: Settings, out: Output) -> int:
    found = faults(settings)
    out.show({"ok": not found, "faults": found}, text="\n".join(found) or "the local models' files are whole")
    return 1 if found else 0


def _pull(settings: Settings, into: Path | None, out: Output) -> int:
    folder = pull(settings, into, out.note)
    out.show({"folder": str(folder.absolute())}, text=f"the models are in {folder}")
    return 0
