"""The spool's format on disk: a header a segment, then frames of `u32 length, u32 crc32, bytes`, little-endian.

crc32 is zlib's: 0.1 µs a record from the standard library; crc32c would be a dependency and detect no more here.
"""

import struct
from typing import Final
from zlib import crc32

VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sII")
_MAGIC: Final = b"ucspool\0"
HEADER: Final = _HEADER.pack(_MAGIC, VERSION, 0)
_FRAME: Final = struct.Struct("<II")
_pack: Final = _FRAME.pack
MAX_PAYLOAD_BYTES: Final = 65_536
"""Longest record; a longer length is garbage."""
LONGEST_FRAME_BYTES: Final = _FRAME.size + MAX_PAYLOAD_BYTES
READ_BYTES: Final = 2 * MAX_PAYLOAD_BYTES
"""What is read at a time: always holds a whole frame."""
SEGMENT_SUFFIX: Final = ".led"


class NewerFormat(Exception):
    """A newer undercroft wrote this segment; it is left to one."""


def segment_name(number: int) -> str:
    return f"{number:08d}{SEGMENT_SUFFIX}"


def segment_numbers(names: list[str]) -> list[int]:
    """The segments among a folder's names, in order."""
    stems = (name.removesuffix(SEGMENT_SUFFIX) for name in names if name.endswith(SEGMENT_SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def frame(payload: bytes) -> bytes:
    return _pack(len(payload), crc32(payload)) + payload


def is_header(data: bytes) -> bool:
    """Whether a segment starts like one; raises NewerFormat for a later version's."""
    if len(data) < _HEADER.size:
        return False
    magic, version, _ = _HEADER.unpack_from(data)
    if magic == _MAGIC and version > VERSION:
        raise NewerFormat(f"format {version}; this undercroft reads up to {VERSION}")
    return bool(magic == _MAGIC)


def payload_at(data: bytes, start: int) -> bytes | None:
    """The frame's content, or None where no whole and sound frame starts."""
    if start + _FRAME.size > len(data):
        return None
    length, checksum = _FRAME.unpack_from(data, start)
    # A length of 0 would make the zeros that a power cut leaves behind a run of sound frames.
    if not 0 < length <= MAX_PAYLOAD_BYTES:
        return None
    first = start + _FRAME.size
    payload = data[first : first + length]
    return payload if len(payload) == length and crc32(payload) == checksum else None


def payloads(data: bytes) -> list[tuple[int, bytes]]:
    """Each frame's end and content, up to the first place where none starts."""
    found = []
    position = 0
    while (payload := payload_at(data, position)) is not None:
        position += _FRAME.size + len(payload)
        found.append((position, payload))
    return found


def next_frame(data: bytes) -> int:
    """Where the next sound frame starts after damage at 0; the data's length when there is none."""
    return next((start for start in range(1, len(data)) if payload_at(data, start) is not None), len(data))
