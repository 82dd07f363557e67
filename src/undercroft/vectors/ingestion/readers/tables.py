"""Rows: CSV, JSONL and JSON. Each row becomes lines of `column: value`, so that a passage says what its numbers are."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any, Final

import msgspec

from undercroft.vectors.ingestion.readers.outline import Outline
from undercroft.vectors.ingestion.readers.text import decoded
from undercroft.vectors.ingestion.types import Document, Unreadable

_SAMPLE: Final = 20_000
_DELIMITERS: Final = ",;\t|"
LONGEST_CELL: Final = 1_000_000


def read_csv(content: bytes, /) -> Document:
    """The first row names the columns. Raises Unreadable."""
    text = decoded(content)
    csv.field_size_limit(LONGEST_CELL)
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:_SAMPLE], delimiters=_DELIMITERS)
    except csv.Error:
        dialect = csv.excel
    try:
        rows = list(csv.reader(StringIO(text), dialect))
    except csv.Error as error:
        raise Unreadable(f"The file is no CSV that can be read: {error}.") from error
    if not rows:
        return Document("")
    names, *others = rows
    return _document(_paired(names, row) for row in others)


def _paired(names: list[str], row: list[str]) -> Iterator[tuple[str, str]]:
    for place, value in enumerate(row):
        yield (names[place] if place < len(names) and names[place] else f"column {place + 1}"), value


def read_jsonl(content: bytes, /) -> Document:
    """A value on each line. Raises Unreadable, which says the line."""
    values = []
    for number, line in enumerate(decoded(content).split("\n"), 1):
        if line.strip():
            try:
                values.append(msgspec.json.decode(line.encode()))
            except (msgspec.DecodeError, RecursionError) as error:
                raise Unreadable(f"Line {number} is no JSON: {error}.") from error
    return _document(_flat(value) for value in values)


def read_json(content: bytes, /) -> Document:
    """Of a list, each element is a row. Raises Unreadable."""
    try:
        value = msgspec.json.decode(decoded(content).encode())
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(f"The file is no JSON: {error}.") from error
    return _document(_flat(one) for one in (value if isinstance(value, list) else [value]))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(inner, name)
    elif value is not None:
        yield name, value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _document(rows: Iterable[Iterable[tuple[str, str]]]) -> Document:
    outline = Outline()
    for row in rows:
        outline.part("\n".join(f"{name}: {value}" if name else value for name, value in row if value.strip()))
    return outline.document()
