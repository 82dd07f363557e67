"""Usage as a spreadsheet reads it."""

import csv
import io
from collections.abc import Sequence
from typing import Final

from undercroft.ledger.usage import UsageLine
from undercroft.money import format_usd

COLUMNS: Final = (
    "calls",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "unpriced_calls",
    "estimated_calls",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_csv(by: str, lines: Sequence[UsageLine]) -> str:
    """A header and a line a group. A group that a spreadsheet would take for a formula gets an apostrophe in front."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([by, *COLUMNS])
    for line in lines:
        group = f"'{line.group}" if line.group.startswith(_FORMULA) else line.group
        usage = line.usage
        tokens = (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
        cost = format_usd(line.cost_nano)
        writer.writerow([group, line.calls, line.errors, *tokens, cost, line.unpriced, line.estimated])
    return text.getvalue()
