"""The fenced blocks of README and docs, and what is done with each of them.

A comment before a block, which no reader of the page sees, changes what is done with it:

    <!-- run: output -->            it is what the block before has printed; `…` stands for anything
    <!-- run: stopped -->           the server is stopped before it runs
    <!-- run: not, needs a key -->  it is only checked, and reported as not run
"""

import enum
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.checkout import ROOT

SHELLS: Final = ("bash", "sh")
DEVELOPER: Final = re.compile(r"(cd|git|make|pip) |python3 scripts/")
"""Commands of a line that is checked, not run: they need another machine, another checkout, or a network."""
SERVER: Final = re.compile(r"make run\b|undercroft serve\b")

STOPPED: Final = "stopped"

_FENCE: Final = re.compile(r"(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[^\s`]*) *(?P<rest>[^`]*)")
_ORDER: Final = re.compile(r" *<!-- run: (?P<order>.+) -->")
_TITLE: Final = re.compile(r'title="(?P<title>[^"]+)"')


class Action(enum.Enum):
    """What is done with a block."""

    RUN = "run"
    START = "a server is started with it"
    COMPARE = "compared with what was printed"
    CHECK = "checked"
    NOT_RUN = "not run"
    READ = "only text"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `title` is the file that it stands for."""

    path: Path
    line: int
    language: str
    text: str
    title: str = ""
    order: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, without comments, continued lines in one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        stripped = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
        return [command.strip() for line in stripped for command in line.split("&&") if command.strip()]


def pages() -> list[Path]:
    """README and every page of the docs, relative to the checkout."""
    return [Path("README.md"), *(path.relative_to(ROOT) for path in sorted((ROOT / "docs").rglob("*.md")))]


def blocks_of(path: Path) -> list[Block]:
    return parse((ROOT / path).read_text("utf-8"), path)


def parse(page: str, path: Path) -> list[Block]:
    """The page's blocks in their order."""
    found = []
    lines = page.splitlines()
    at, order = 0, ""
    while at < len(lines):
        opening = _FENCE.fullmatch(lines[at])
        if opening is None:
            comment = _ORDER.fullmatch(lines[at])
            order = comment["order"] if comment else order if not lines[at].strip() else ""
            at += 1
            continue
        indent = len(opening["indent"])
        end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == opening["fence"]), None)
        assert end is not None, f"{path}:{at + 1}: this block has no end"
        text = "".join(f"{line[indent:]}\n" for line in lines[at + 1 : end])
        title = _TITLE.search(opening["rest"])
        found.append(Block(path, at + 1, opening["language"], text, title["title"] if title else "", order))
        at, order = end + 1, ""
    return found


def action_of(block: Block) -> Action | None:
    """What is done with a block; None where nothing says so."""
    is_program = block.language in SHELLS or block.language == "python"
    if block.order and is_program:
        return Action.NOT_RUN if block.order.startswith("not, ") else {STOPPED: Action.RUN}.get(block.order)
    if block.order:
        return Action.COMPARE if block.order == "output" and block.language in ("text", "json") else None
    if block.language in SHELLS:
        if SERVER.match(block.commands[-1]):
            return Action.START
        return Action.CHECK if all(DEVELOPER.match(command) for command in block.commands) else Action.RUN
    return {
        "python": Action.RUN,
        "toml": Action.CHECK,
        "json": Action.CHECK,
        "text": Action.READ,
    }.get(block.language)


def differs(expected: Block, printed: str) -> str:
    """Where what was printed is not what the page says; empty where it is."""
    if expected.language == "json":
        return _unlike(json.loads(expected.text), json.loads(printed), "")
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else ".*?".join(map(re.escape, line.rstrip().split("…"))) + "\n"
        for line in expected.text.splitlines()
    )
    shown = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return "" if re.fullmatch(pattern, shown) else f"printed was:\n{shown}"


def _unlike(expected: Any, actual: Any, at: str) -> str:
    """Where the actual value is not the expected one; the key or element "…" stands for any further ones."""
    match expected, actual:
        case "…", _:
            return ""
        case dict(), dict():
            missing = sorted(expected.keys() - actual.keys() - {"…"})
            extra = [] if "…" in expected else sorted(actual.keys() - expected.keys())
            if missing or extra:
                return f"{at or '.'}: lacks {missing}, and has {extra} besides"
            inside = [_unlike(value, actual[key], f"{at}.{key}") for key, value in expected.items() if key != "…"]
            return next(filter(None, inside), "")
        case list(), list():
            is_open = expected[-1:] == ["…"]
            wanted = expected[:-1] if is_open else expected
            shown = actual[: len(wanted)] if is_open else actual
            if len(shown) != len(wanted):
                return f"{at}: is {actual}"
            pairs = enumerate(zip(wanted, shown, strict=True))
            inside = [_unlike(one, other, f"{at}[{n}]") for n, (one, other) in pairs]
            return next(filter(None, inside), "")
        case str(), str():
            pattern = ".*?".join(map(re.escape, expected.split("…")))
            return "" if re.fullmatch(pattern, actual, re.DOTALL) else f"{at}: is {actual!r}"
    return "" if (type(expected), expected) == (type(actual), actual) else f"{at}: is {actual!r}"
