"""`.env`: lines of KEY=VALUE. Nothing is expanded or run."""

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?: "(?P<double>(?:[^"\\]|\\.)*)"
      | '(?P<single>[^']*)'
      | (?P<plain>(?!["']).*?) )
    \s* (?: (?<=\s)\#.* )?""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One variable and the line it stands on."""

    name: str
    value: str
    line: int


def parse(text: str) -> tuple[list[Entry], list[int]]:
    """The entries in order, and the numbers of the lines that are none (what they say may be secret)."""
    entries: list[Entry] = []
    odd: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            odd.append(number)
            continue
        if match["double"] is not None:
            value = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), match["double"])
        else:
            value = match["single"] if match["single"] is not None else match["plain"]
        entries.append(Entry(match["name"], value, number))
    return entries, odd
