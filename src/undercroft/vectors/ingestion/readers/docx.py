"""DOCX: paragraphs, headings and tables of a Word document, from its own XML."""

import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Final
from xml.etree import ElementTree as ET

from undercroft.vectors.ingestion.readers.outline import Outline
from undercroft.vectors.ingestion.types import Document, Unreadable

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_DOCUMENT: Final = "word/document.xml"
MOST_XML_BYTES: Final = 200_000_000
"""Unpacked."""


def read(content: bytes, /, *, most_bytes: int = MOST_XML_BYTES) -> Document:
    """Raises Unreadable for a broken file and one that unpacks to more than can be meant."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive, archive.open(_DOCUMENT) as file:
            xml = file.read(most_bytes + 1)  # what the archive says of the size may be a lie
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise Unreadable(f"The file is no Word document that can be read: {error}.") from error
    if len(xml) > most_bytes:
        raise Unreadable(f"The document unpacks to more than {most_bytes} bytes.")
    if b"<!DOCTYPE" in xml[:1000]:
        raise Unreadable("The document defines entities of its own, which no word processor writes.")
    try:
        body = ET.fromstring(xml).find(f"{_W}body")  # noqa: S314 - without a DTD nothing expands
    except ET.ParseError as error:
        raise Unreadable(f"The document's XML is broken: {error}.") from error
    outline, lines = Outline(), list[str]()
    for element in body if body is not None else ():
        level = _heading_level(element)
        if level is not None:
            outline.part("\n".join(lines))
            lines = []
            outline.heading(level, _text(element))
        else:
            lines += _lines(element)
    outline.part("\n".join(lines))
    return outline.document()


def _heading_level(element: ET.Element) -> int | None:
    style = element.find(f"{_W}pPr/{_W}pStyle")
    name = style.get(f"{_W}val", "") if style is not None else ""
    if name == "Title":
        return 1
    form = re.fullmatch(r"[Hh]eading([1-9])", name)
    return int(form[1]) if form else None


def _lines(element: ET.Element) -> Iterator[str]:
    if element.tag == f"{_W}tbl":
        for row in element.iter(f"{_W}tr"):
            yield " | ".join(" ".join(_text(cell).split()) for cell in row.findall(f"{_W}tc"))
    else:
        yield _text(element)


def _text(element: ET.Element) -> str:
    said: list[str] = []
    for part in element.iter():
        if part.tag == f"{_W}t":
            said.append(part.text or "")
        elif part.tag == f"{_W}tab":
            said.append("\t")
        elif part.tag in (f"{_W}br", f"{_W}cr"):
            said.append("\n")
    return "".join(said)
