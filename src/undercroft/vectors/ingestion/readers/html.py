"""HTML: what a reader sees, a part for each heading."""

from html.parser import HTMLParser
from typing import Final

from undercroft.vectors.ingestion.readers.outline import Outline
from undercroft.vectors.ingestion.readers.text import decoded
from undercroft.vectors.ingestion.types import Document

_HIDDEN: Final = frozenset(("script", "style", "noscript", "template", "svg", "head", "iframe", "object"))
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_BLOCKS: Final = frozenset(
    (
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figcaption"),
        *("figure", "footer", "form", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table"),
        *("tr", "ul"),
    )
)


def read(content: bytes, /) -> Document:
    """Scripts, styles and the like are left out; cells of a row are set apart by a bar."""
    reader = _Reader()
    reader.feed(decoded(content))
    reader.close()
    return reader.document()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._outline = Outline()
        self._lines: list[str] = []
        self._words: list[str] = []
        self._hidden = 0
        self._title: list[str] | None = None
        self._is_plain = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _HEADINGS:
            self._end_part()
            self._title = []
        elif tag in _BLOCKS:
            self._end_line()
            self._is_plain += tag == "pre"
        elif tag in ("td", "th") and self._words:
            self._words.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _HEADINGS and self._title is not None:
            self._outline.heading(_HEADINGS[tag], "".join(self._title))
            self._title = None
        elif tag in _BLOCKS:
            self._end_line()
            self._is_plain = max(0, self._is_plain - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._title is not None:
            self._title.append(data)
        elif not self._hidden:
            self._words.append(data)

    def _end_line(self) -> None:
        said = "".join(self._words)
        self._words.clear()
        line = said.strip("\n") if self._is_plain else " ".join(said.split())
        if line:
            self._lines.append(line)

    def _end_part(self) -> None:
        self._end_line()
        self._outline.part("\n".join(self._lines))
        self._lines.clear()

    def document(self) -> Document:
        self._end_part()
        return self._outline.document()
