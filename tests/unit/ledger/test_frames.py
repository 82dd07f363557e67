"""The spool's format, cut and scribbled on everywhere."""

import random

import pytest

from undercroft.ledger.frames import (
    HEADER,
    MAX_PAYLOAD_BYTES,
    NewerFormat,
    frame,
    is_header,
    next_frame,
    payloads,
    segment_name,
    segment_numbers,
)

RECORDS = [b"one", b"two" * 50, b"\0", b"four"]
DATA = b"".join(map(frame, RECORDS))
ENDS = [sum(len(frame(record)) for record in RECORDS[: count + 1]) for count in range(len(RECORDS))]


def test_a_tail_torn_at_any_byte_costs_only_its_own_record() -> None:
    for length in range(len(DATA) + 1):
        whole = [record for record, end in zip(RECORDS, ENDS, strict=True) if end <= length]
        assert [payload for _, payload in payloads(DATA[:length])] == whole


def test_a_changed_byte_is_never_read_as_a_record() -> None:
    for position in range(len(DATA)):
        scribbled = bytearray(DATA)
        scribbled[position] ^= 0x41
        before = [record for record, end in zip(RECORDS, ENDS, strict=True) if end <= position]
        assert [payload for _, payload in payloads(bytes(scribbled))] == before


def test_what_follows_damage_is_found_again() -> None:
    damaged = bytearray(DATA)
    damaged[9] ^= 0x41
    assert next_frame(bytes(damaged)) == ENDS[0]


def test_noise_and_zeros_hold_no_record() -> None:
    noise = random.Random(7).randbytes(20_000)
    assert next_frame(noise) == len(noise)
    assert payloads(bytes(4096)) == []
    assert next_frame(bytes(4096)) == 4096


def test_a_record_longer_than_any_is_garbage() -> None:
    assert payloads(frame(bytes(MAX_PAYLOAD_BYTES))) != []
    assert payloads(frame(bytes(MAX_PAYLOAD_BYTES + 1))) == []


def test_a_segment_of_a_newer_version_is_refused_and_noise_is_no_header() -> None:
    assert is_header(HEADER)
    assert not is_header(HEADER[:-1])
    assert not is_header(b"x" * len(HEADER))
    newer = bytearray(HEADER)
    newer[8] += 1
    with pytest.raises(NewerFormat, match="format 2"):
        is_header(bytes(newer))


def test_segments_are_read_in_the_order_of_their_numbers() -> None:
    names = [segment_name(number) for number in (10, 2, 100_000_000)]
    assert segment_numbers([*names, "notes.led", "00000003.tmp"]) == [2, 10, 100_000_000]
