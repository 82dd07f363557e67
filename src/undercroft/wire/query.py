"""Reads a query string into a typed value, or says what is wrong with it."""

from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.wire.body import refusal

T = TypeVar("T")


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """The names and values, in their order. Raises InvalidRequest for what is not percent-encoded UTF-8."""
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The query string is not percent-encoded UTF-8.", code="invalid_query") from error


def read_query(query: bytes, shape: type[T]) -> T:
    """The query string's fields; of a repeated one the last counts. Raises InvalidRequest."""
    return read_pairs(pairs_of(query), shape)


def read_pairs(pairs: list[tuple[str, str]], shape: type[T]) -> T:
    """The same of pairs that were taken apart before."""
    fields: dict[str, Any] = dict(pairs)
    try:
        return msgspec.convert(fields, shape, strict=False)
    except msgspec.ValidationError as error:
        raise refusal(error, fields) from error
