"""`undercroft prompts`."""

from argparse import ArgumentParser, Namespace

from undercroft.cli.commands.versions import act, add_actions
from undercroft.cli.output import Output

HELP = """Versions of prompts: create, label, compare, keep as files. One never changes; labels move.
As files in undercroft.d they live in git.

Example: undercroft prompts create greeting greeting.yaml --label staging
         undercroft prompts diff greeting production latest
         undercroft prompts sync"""


def arguments(parser: ArgumentParser) -> None:
    add_actions(parser, kind="prompt")


def run(options: Namespace, out: Output) -> int:
    return act(options, out, kind="prompt")
