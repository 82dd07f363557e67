"""The overview of commands, as it was reviewed."""

from tests.support import golden
from undercroft.cli.main import usage


def test_help_is_the_reviewed_text() -> None:
    golden.compare("help.txt", usage())
