"""PDF, by pypdf: a part for each page."""

from io import BytesIO

from undercroft.errors import MissingExtra
from undercroft.vectors.ingestion.readers.outline import Outline
from undercroft.vectors.ingestion.types import Document, Unreadable


def read(content: bytes, /) -> Document:
    """Raises Unreadable for a broken file and one that needs a password, MissingExtra where pypdf is missing."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as error:
        raise MissingExtra("Reading PDF", extra="vectors") from error
    outline = Outline()
    try:
        reader = PdfReader(BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("The PDF needs a password.", hint="Save it without one.")
        for number, page in enumerate(reader.pages, 1):
            outline.part(page.extract_text(), page=number)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise Unreadable(f"The file is no PDF that can be read: {error}.") from error
    return outline.document()
