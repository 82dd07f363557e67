"""Plain text, in whatever encoding it is likely to be."""

import codecs
from typing import Final

from undercroft.vectors.ingestion.types import Document, Unreadable

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read(content: bytes, /) -> Document:
    """One part. Raises Unreadable for what is no text."""
    return Document(decoded(content))


def decoded(content: bytes) -> str:
    """UTF-8, or what its byte-order mark says, or else Windows' Latin; line ends are `\\n`. Raises Unreadable."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace") if encoding == "utf-8" else "\0"
    if "\0" in text:
        raise Unreadable("The file is no text.", hint="Name it with the ending of its format.")
    return text.replace("\r\n", "\n").replace("\r", "\n")
