"""Puts a document together from its parts, and remembers under which headings each stands."""

from undercroft.vectors.ingestion.types import Document, Mark

LONGEST_TITLE = 200


class Outline:
    """Takes parts in their order. A heading closes those of its level and below."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._marks: list[Mark] = []
        self._headings: list[tuple[int, str]] = []

    def heading(self, level: int, title: str) -> None:
        """From here on everything stands under this heading; 1 is the outermost level."""
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        title = " ".join(title.split())[:LONGEST_TITLE]
        if title:
            self._headings.append((level, title))

    def part(self, text: str, *, page: int | None = None) -> None:
        """A part of its own, under the headings so far. One without words is left out."""
        text = text.strip("\n")
        if not text.strip():
            return
        if self._pieces:
            self._pieces.append("\n\n")
            self._length += 2
        self._marks.append(Mark(self._length, " > ".join(title for _, title in self._headings), page))
        self._pieces.append(text)
        self._length += len(text)

    def document(self) -> Document:
        return Document("".join(self._pieces), tuple(self._marks))
