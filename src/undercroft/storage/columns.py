"""Columns of rows that are booked together."""

from collections.abc import Sequence
from typing import Any


def has_one_value(column: Sequence[Any]) -> bool:
    """Whether all rows have the same there, as they have in most columns."""
    return bool(column) and column[0] == column[-1] and column.count(column[0]) == len(column)
