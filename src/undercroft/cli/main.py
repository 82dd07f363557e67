"""The `undercroft` command: which commands there are, and how any of them ends.

Nothing slow is imported before a command runs: `undercroft --help` is for the impatient.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from undercroft import __version__
from undercroft.errors import ConfigurationError, InvalidRequest, UndercroftError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from undercroft.cli.output import Output


class Command(Protocol):
    """What a module in `commands/` has."""

    HELP: str
    """What it does.  Example: how to call it"""

    def arguments(self, parser: "ArgumentParser", /) -> None: ...
    def run(self, options: "Namespace", out: "Output", /) -> int: ...


COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "serve": ("undercroft.cli.commands.serve", "Starts the server."),
    "worker": ("undercroft.cli.commands.worker", "Runs jobs, and nothing else."),
    "migrate": ("undercroft.cli.commands.migrate", "Brings the database to the current schema."),
    "backup": ("undercroft.cli.commands.backup", "Writes everything to one file, beside running servers."),
    "restore": ("undercroft.cli.commands.restore", "Puts a backup into an empty installation."),
    "doctor": ("undercroft.cli.commands.doctor", "Checks what undercroft needs, and says what to do about it."),
    "config": ("undercroft.cli.commands.config", "Shows, checks and describes the settings."),
    "limits": ("undercroft.cli.commands.limits", "What an organisation, a team or a user may use, all keys together."),
    "keys": ("undercroft.cli.commands.keys", "Makes, lists, rotates and revokes virtual API keys."),
    "secrets": ("undercroft.cli.commands.secrets", "Stores provider keys encrypted, and changes what encrypts them."),
    "users": ("undercroft.cli.commands.users", "Who signs in with a password, and in which role."),
    "audit": ("undercroft.cli.commands.audit", "Who changed what; verifies and exports that log."),
    "models": (
        "undercroft.cli.commands.models",
        "Lists the models that can be asked for; checks and fetches the weights of the bundled ones.",
    ),
    "prompts": ("undercroft.cli.commands.prompts", "Versions of prompts: create, label, compare, keep as files."),
    "versions": ("undercroft.cli.commands.versions", "The same for models, retrieval and guardrails."),
    "releases": (
        "undercroft.cli.commands.releases",
        "What an alias runs: create, roll out, promote and roll back releases.",
    ),
    "eval": ("undercroft.cli.commands.evaluations", "Runs evaluations, compares versions, makes cases of feedback."),
    "jobs": ("undercroft.cli.commands.jobs", "Lists, shows, cancels and retries jobs, and waits for them."),
    "batches": ("undercroft.cli.commands.batches", "Many calls as one order: makes, shows and awaits batches."),
    "vectors": (
        "undercroft.cli.commands.vectors",
        "Vector collections: make, fill, search, measure, compare and move them.",
    ),
    "usage": ("undercroft.cli.commands.usage", "What was used and what it cost."),
    "why": ("undercroft.cli.commands.why", "Why a call went the way it did."),
    "ledger": ("undercroft.cli.commands.ledger", "Verifies the books."),
    "plan": ("undercroft.cli.commands.plan", "What a workload needs, how fast it will be and what it costs."),
    "webhooks": ("undercroft.cli.commands.webhooks", "Who is told of events by HTTP."),
    "new": ("undercroft.cli.commands.new", "Makes a project to begin with."),
    "deploy": (
        "undercroft.cli.commands.deploy",
        "Writes deployment files and checks them; brings versions up side by side.",
    ),
}

FAILED: Final = 1
UNUSABLE: Final = 2
"""Bad usage, bad input or bad configuration."""
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
"""As the shell reports a program that SIGINT or SIGPIPE ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; what went wrong is told in a line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:  # the outermost edge of every command
        if os.environ.get("UNDERCROFT_DEBUG") == "1":
            raise
        return _explain(error)


def _run(given: list[str]) -> int:
    name = given[0] if given else "--help"
    if name in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    if name == "--version":
        sys.stdout.write(f"undercroft {__version__}\n")
        return 0
    if name not in COMMANDS:
        raise InvalidRequest(_no_such_command(name))

    from undercroft.cli.output import Output
    from undercroft.cli.parser import Parser

    command: Command = import_module(COMMANDS[name][0])
    parser = Parser.for_command(name, command.HELP)
    command.arguments(parser)
    try:
        options = parser.parse_args(given[1:])
    except SystemExit:  # only after printing the help: errors raise InvalidRequest
        return 0
    out = Output(json=getattr(options, "json", False), stream=sys.stdout, error_stream=sys.stderr)
    return command.run(options, out)


def usage() -> str:
    """What `undercroft --help` prints; made by hand, since importing argparse would double its time."""
    lines = [
        "usage: undercroft COMMAND [OPTIONS]",
        "",
        "The infrastructure under AI applications, from one process to a cluster.",
        "",
        "commands:",
        *(f"  {name:<10}{line}" for name, (_, line) in COMMANDS.items()),
        "",
        "options:",
        "  --help    shows this, or a command's own options: undercroft serve --help",
        "  --version shows the version",
        "",
        "Example:",
        "  undercroft serve --port 9000",
    ]
    return "\n".join(lines) + "\n"


def _no_such_command(name: str) -> str:
    import difflib

    kind = "option" if name.startswith("-") else "command"
    close = difflib.get_close_matches(name, [*COMMANDS, "--help", "--version"], n=1)
    hint = f"did you mean {close[0]!r}?" if close else "undercroft --help lists them."
    return f"there is no {kind} {name!r}; {hint}"


def _explain(error: Exception) -> int:
    """One line for the error (one for each wrong setting), and the exit code of its kind."""
    if isinstance(error, UndercroftError):
        _complain(str(error))
        return UNUSABLE if isinstance(error, ConfigurationError | InvalidRequest) else FAILED

    from undercroft.telemetry.redaction import Redactor, secrets_in

    text = " ".join(Redactor(secrets_in(os.environ)).text(f"{type(error).__name__}: {error}").split())
    _complain(f"unexpected {text} (UNDERCROFT_DEBUG=1 shows where)")
    return FAILED


def _complain(text: str) -> None:
    for line in text.splitlines():
        sys.stderr.write(f"undercroft: {line}\n")
