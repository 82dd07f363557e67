"""Which line of a TOML text a setting stands on, since tomllib keeps no positions."""

import re
import tomllib
from bisect import bisect_left

Place = tuple[str | int, ...]
"""Where a setting is: keys, and positions in lists."""

_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?!")|'  # up to two quotes may stand before the closing three
    r"'''.*?'''(?!')|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def locate(text: str) -> dict[Place, int]:
    """The line, from 1, where each key, table and list element begins. `text` is TOML that tomllib has accepted."""
    walk = _Walk(text)
    walk.document()
    return walk.lines


class _Walk:
    """Reads just enough TOML to know where things are; what they mean was tomllib's to say."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._last_element: dict[Place, int] = {}

    def document(self) -> None:
        table: Place = ()
        while self._past(_BLANK_LINES) < len(self._text):
            if self._text.startswith("[[", self._at):
                self._at += 2
                table = self._new_element(self._key())
                self._at = self._text.index("]]", self._at) + 2
            elif self._text[self._at] == "[":
                self._at += 1
                table = self._inside(self._key())
                self._mark(table)
                self._at = self._text.index("]", self._at) + 1
            else:
                self._pair(table)

    def _pair(self, table: Place) -> None:
        path = table + self._key()
        self._mark(path)
        self._at = self._text.index("=", self._at) + 1
        self._value(path)

    def _value(self, path: Place) -> None:
        self._past(_BLANK)
        match self._text[self._at]:
            case "[":
                self._at += 1
                position = 0
                while self._more("]"):
                    self._mark((*path, position))
                    self._value((*path, position))
                    position += 1
            case "{":
                self._at += 1
                while self._more("}"):
                    self._pair(path)
            case '"' | "'":
                self._past(_STRING)
            case _:
                self._past(_SCALAR)

    def _more(self, end: str) -> bool:
        """Steps over separators; False (and past the bracket) at the end of the list or inline table."""
        self._past(_BLANK_LINES)
        if self._text[self._at] == ",":
            self._at += 1
            self._past(_BLANK_LINES)
        if self._text[self._at] == end:
            self._at += 1
            return False
        return True

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            start = self._past(_BLANK)
            if self._text[start] in "\"'":
                self._past(_STRING)
                parts.append(tomllib.loads(f"key = {self._text[start : self._at]}")["key"])
            else:
                self._past(_BARE_KEY)
                parts.append(self._text[start : self._at])
            self._past(_BLANK)
            if self._text[self._at] != ".":
                return tuple(parts)
            self._at += 1

    def _new_element(self, keys: tuple[str, ...]) -> Place:
        array = (*self._inside(keys[:-1]), keys[-1])
        self._last_element[array] = self._last_element.get(array, -1) + 1
        element = (*array, self._last_element[array])
        self._mark(element)
        return element

    def _inside(self, keys: tuple[str, ...]) -> Place:
        """A header's keys mean the last element so far of each array of tables on the way."""
        path: Place = ()
        for key in keys:
            path += (key,)
            if path in self._last_element:
                path += (self._last_element[path],)
        return path

    def _mark(self, path: Place) -> None:
        line = bisect_left(self._line_ends, self._at) + 1
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _past(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        assert match is not None, "tomllib accepted what the locator cannot read"
        self._at = match.end()
        return self._at
