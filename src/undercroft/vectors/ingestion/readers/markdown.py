"""Markdown: a part for each heading. It stays markdown: models read it as well as people do."""

import re
from typing import Final

from undercroft.vectors.ingestion.readers.outline import Outline
from undercroft.vectors.ingestion.readers.text import decoded
from undercroft.vectors.ingestion.types import Document

_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def read(content: bytes, /) -> Document:
    """Headings inside fenced code are code."""
    outline, lines, fence = Outline(), list[str](), ""
    for line in _FRONT_MATTER.sub("", decoded(content)).split("\n"):
        if opened := _FENCE.match(line):
            if not fence:
                fence = opened[1]
            elif opened[1].startswith(fence):
                fence = ""
        heading = None if fence else _HEADING.fullmatch(line)
        if heading is not None:
            outline.part("\n".join(lines))
            lines = []
            outline.heading(len(heading[1]), heading[2])
        else:
            lines.append(line)
    outline.part("\n".join(lines))
    return outline.document()
