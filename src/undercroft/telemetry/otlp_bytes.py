"""Spans as OTLP's Protobuf, written byte by byte: a tenth of the time that filling generated messages takes.

Field numbers are those of opentelemetry-proto 1.x (`trace/v1/trace.proto`, `common/v1/common.proto`).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from undercroft import __version__
from undercroft.telemetry.spans import Attribute, Span

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"
SCOPE: Final = "undercroft"
REMEMBERED: Final = 8192
_KINDS: Final = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_ERROR: Final = b"\x18\x02"
"""A status's `code`."""
_TIMES: Final = struct.Struct("<BQBQ")
_DOUBLE: Final = struct.Struct("<Bd")


def export_request(spans: Sequence[Span], resource: Mapping[str, str]) -> bytes:
    """An ExportTraceServiceRequest."""
    described = b"".join(_field(1, _attribute(name, value)) for name, value in resource.items())
    scope = _field(1, SCOPE.encode()) + _field(2, __version__.encode())
    schema = _field(3, SCHEMA_URL.encode())
    of_scope = _field(1, scope) + b"".join(_field(2, _span(span)) for span in spans) + schema
    return _field(1, _field(1, described) + _field(2, of_scope) + schema)


def _span(span: Span) -> bytes:
    pieces = [b"\x0a\x10", bytes.fromhex(span.trace), b"\x12\x08", bytes.fromhex(span.id)]
    if span.parent:
        pieces += (b"\x22\x08", bytes.fromhex(span.parent))
    times = _TIMES.pack(0x39, span.started_us * 1000, 0x41, span.ended_us * 1000)
    pieces += (_named(span.name), b"\x30", bytes((_KINDS[span.kind],)), times)
    pieces += _attributes(span.attributes.items())
    if span.error:
        pieces.append(_field(15, _field(2, span.error.encode()) + _ERROR))
    return b"".join(pieces)


@lru_cache(REMEMBERED)
def _named(name: str) -> bytes:
    return _field(5, name.encode())


def _attributes(attributes: Iterable[tuple[str, Attribute]]) -> list[bytes]:
    return [_remembered(name, value) for name, value in attributes]


@lru_cache(REMEMBERED, typed=True)  # True is 1, but not here
def _remembered(name: str, value: Attribute) -> bytes:
    """The same few again and again, but for ids and some counts, which only push each other out."""
    return _field(9, _attribute(name, value))


def _attribute(name: str, value: Attribute) -> bytes:
    """A KeyValue."""
    said: bytes
    match value:
        case bool():
            said = b"\x10\x01" if value else b"\x10\x00"
        case int():
            said = b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
        case float():
            said = _DOUBLE.pack(0x21, value)
        case _:
            said = _field(1, value.encode("utf-8", "backslashreplace"))
    return _field(1, name.encode()) + _field(2, said)


def _field(number: int, content: bytes) -> bytes:
    """A field that has a length."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
