"""Source code: a part for each top-level block, under its first line."""

import re
from typing import Final

from undercroft.vectors.ingestion.readers.outline import Outline
from undercroft.vectors.ingestion.readers.text import decoded
from undercroft.vectors.ingestion.types import Document

_BEGINS: Final = re.compile(r"[A-Za-z_@\[<$]|/[/*]|#|--")
"""How a line begins that opens something, not one that closes it."""
_REMARK: Final = re.compile(r"@|#|/[/*]|\*|--|\[")


def read(content: bytes, /) -> Document:
    """A block begins at a line without indentation after an empty one: so in most languages, and harmless in others."""
    outline, block, is_after_gap = Outline(), list[str](), True
    for line in decoded(content).split("\n"):
        if is_after_gap and block and _BEGINS.match(line):
            _add(outline, block)
            block = []
        block.append(line.rstrip())
        is_after_gap = not line.strip()
    _add(outline, block)
    return outline.document()


def _add(outline: Outline, block: list[str]) -> None:
    says = (line.strip() for line in block if line.strip() and not _REMARK.match(line))
    outline.heading(1, next(says, ""))
    outline.part("\n".join(block))
