"""Options are read strictly, and bad ones are told in a line."""

import pytest

from undercroft.cli.parser import Parser, add_config, add_json
from undercroft.errors import InvalidRequest


def test_the_example_stands_below_the_options() -> None:
    parser = Parser.for_command("x", "Does x.  Example: undercroft x 1\n         undercroft x 2")
    add_json(parser)
    assert parser.format_help().endswith("Example:\n  undercroft x 1\n  undercroft x 2\n")


def test_a_shortened_option_is_not_taken_for_the_whole() -> None:
    parser = Parser.for_command("x", "Does x.")
    add_config(parser)
    with pytest.raises(InvalidRequest, match=r"^x: unrecognized arguments: --conf f \(undercroft x --help\)$"):
        parser.parse_args(["--conf", "f"])


def test_a_nested_commands_error_names_it() -> None:
    parser = Parser.for_command("x", "Does x.")
    inner = parser.add_subparsers(required=True, metavar="ACTION").add_parser("y")
    inner.add_argument("--number", type=int)
    with pytest.raises(
        InvalidRequest, match=r"^x y: argument --number: invalid int value: 'z' \(undercroft x y --help\)$"
    ):
        parser.parse_args(["y", "--number", "z"])
