"""Options of one command: argparse, with errors of one line and an example in every `--help`."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any, NoReturn, Self

from undercroft.errors import InvalidRequest


class Parser(ArgumentParser):
    """Raises InvalidRequest for what it cannot read, so that bad usage ends like any other bad input."""

    def __init__(self, **options: Any) -> None:
        """`description` may end in `Example: …`, which is shown below the options."""
        text, found, example = (options.pop("description", None) or "").partition("Example:")
        if found:
            options["epilog"] = "Example:\n" + "\n".join(f"  {line.strip()}" for line in example.strip().splitlines())
        # Shortened options would change their meaning when a new one is added.
        super().__init__(
            description=text.strip() or None,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **options,
        )

    @classmethod
    def for_command(cls, name: str, help_text: str) -> Self:
        return cls(prog=f"undercroft {name}", description=help_text)

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(f"{self.prog.removeprefix('undercroft ')}: {message}", hint=f"({self.prog} --help)")


def add_config(parser: ArgumentParser) -> None:
    """`--config FILE`, for every command that reads the settings."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: undercroft.toml)")


def add_json(parser: ArgumentParser) -> None:
    """`--json`, for every command that prints a result."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
