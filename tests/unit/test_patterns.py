"""Patterns that every supported Python matches alike."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import undercroft
from undercroft.telemetry import shapes

codes: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")
POSSESSIVE = re.compile(r"[*+?}]\+")
OF_ONE_CHARACTER = {codes.IN, codes.LITERAL, codes.NOT_LITERAL, codes.ANY}


def unsafe(parsed: Any) -> Iterator[Any]:
    """Possessive repeats of groups that are not atomic. Python 3.11.0 to 3.11.4 forget to go back when such a group
    fails half-way (https://github.com/python/cpython/issues/106052)."""
    for code, value in parsed:
        if code is codes.POSSESSIVE_REPEAT:
            body = list(value[2])
            if len(body) != 1 or body[0][0] not in {*OF_ONE_CHARACTER, codes.ATOMIC_GROUP}:
                yield body
        for part in value if isinstance(value, tuple | list) else (value,):
            for each in part if isinstance(part, list) else (part,):
                if isinstance(each, parser.SubPattern):
                    yield from unsafe(each)


def patterns() -> Iterator[tuple[str, "re.Pattern[Any]"]]:
    root = Path(undercroft.__file__).parent
    for file in sorted(root.rglob("*.py")):
        source = file.read_text("utf-8")
        if "re.compile(" in source and POSSESSIVE.search(source):
            module = importlib.import_module(".".join(("undercroft", *file.relative_to(root).with_suffix("").parts)))
            yield from ((f"{file}: {name}", each) for name, each in vars(module).items() if type(each) is re.Pattern)
    yield from ((f"the shape of {shape.marker}", shape.pattern) for shape in shapes.SHAPES)


def test_nothing_but_characters_and_atomic_groups_is_repeated_possessively() -> None:
    parsed = {name: parser.parse(each.pattern, each.flags & ~re.UNICODE) for name, each in patterns()}
    assert len(parsed) > len(shapes.SHAPES)
    assert [name for name, each in parsed.items() if list(unsafe(each))] == []


@pytest.mark.parametrize("text", ["(?:ab)*+", "(?:a|bc)++", "x(?:y(?:,z)?+)", "(?:(?(1)ab|c)d)?+()"])
def test_others_are_found(text: str) -> None:
    assert list(unsafe(parser.parse(text)))
