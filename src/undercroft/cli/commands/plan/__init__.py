"""`undercroft plan`: each action is a module of its own, imported when it runs."""

from argparse import ArgumentParser, Namespace
from importlib import import_module

from undercroft.cli.commands.plan.arguments import ACTIONS
from undercroft.cli.output import Output
from undercroft.cli.parser import add_json

HELP = """What a workload needs, how fast it will be and what it costs. Verifies, too, that a plan was right.

Example: undercroft plan estimate --daily-requests 1000000 --avg-ms 200
         undercroft plan compare --daily-requests 1000000 --avg-ms 200
         undercroft plan verify --duration 60"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (help_text, description, add) in ACTIONS.items():
        action = actions.add_parser(name, help=help_text, description=description)
        add(action)
        add_json(action)


def run(options: Namespace, out: Output) -> int:
    code: int = import_module(f"undercroft.cli.commands.plan.{options.action}").run(options, out)
    return code
