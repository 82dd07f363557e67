"""What ingestion is tested with: a model that counts words, and files made on the spot."""

import hashlib
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

from undercroft.clock import SystemClock
from undercroft.storage.engine import Database, open_database
from undercroft.vectors.ingestion.chunking import Span
from undercroft.vectors.ingestion.embedding import Model
from undercroft.vectors.types import Vector, vector_of

DIMENSION = 64


def words(text: str, /) -> Sequence[Span]:
    """A token for each word."""
    spans, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        spans.append((start, at))
    return spans


class CountedModel:
    """Texts with the same words have the same vector, those that share some are near. Remembers what it was asked."""

    def __init__(self, *, name: str = "counted", longest: int = 1000) -> None:
        self.asked: list[str] = []
        self.model = Model(name, self._embed, words, longest=longest, best=50)

    async def _embed(self, texts: Sequence[str], /) -> "list[Vector[float]]":
        self.asked += texts
        return [bag_of_words(text) for text in texts]


def bag_of_words(text: str) -> "Vector[float]":
    numbers = [0.01] * DIMENSION
    for word in text.lower().split():
        numbers[hashlib.blake2b(word.strip(".,?!").encode(), digest_size=2).digest()[0] % DIMENSION] += 1.0
    return vector_of(numbers)


def sqlite(folder: Path) -> Database:
    """A database with the current schema; whoever opens it closes it."""
    database = open_database(None, data_dir=folder, pool_size=2, clock=SystemClock())
    database.migrate()
    return database


def docx(*paragraphs: tuple[str, str], table: Sequence[Sequence[str]] = ()) -> bytes:
    """A Word document of paragraphs with their styles, and a table behind them."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{escape(text)}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    rows = "".join(
        "<w:tr>" + "".join(f"<w:tc><w:p><w:r><w:t>{escape(cell)}</w:t></w:r></w:p></w:tc>" for cell in row) + "</w:tr>"
        for row in table
    )
    return zipped("word/document.xml", _DOCX % (body + (f"<w:tbl>{rows}</w:tbl>" if rows else "")))


_DOCX = (
    '<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    "<w:body>%s</w:body></w:document>"
)


def zipped(name: str, content: str) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1")
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources << /Font << /F1 << "
            b"/Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%b] /Count %d >>" % (b" ".join(kids), len(kids))
    made, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return made + b"xref\n0 %d\n0000000000 65535 f \n%btrailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, table, len(objects) + 1, len(made),
    )  # fmt: skip
