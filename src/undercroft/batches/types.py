"""Many calls as one order: the order, its lines, and what each line came to."""

from typing import Final, Literal

import msgspec

from undercroft.record import Usage, Who

PREFIX: Final = "batch_"
KIND: Final = "batch_item"
"""The kind of job that a line becomes."""
WINDOW: Final = "24h"
WINDOW_US: Final = 86_400_000_000
LINES: Final = 50_000
"""The most lines of a batch, and the most inputs of all its lines that ask for embeddings."""
INPUT_BYTES: Final = 200_000_000

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
OVER: Final = frozenset({"failed", "completed", "expired", "cancelled"})
Ending = Literal["", "expired", "cancelled"]
"""Why a batch ends before all its lines were answered; empty: it does not."""
Outcome = Literal["pending", "completed", "failed", "cancelled"]
"""What a line came to. `cancelled`: its batch ended first."""


class LineError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with the input; `line` counts from 1, None: with the whole of it."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as its caller asks for it."""

    endpoint: str
    input_file: str
    metadata: dict[str, str] = {}
    output_expires_s: int = 0
    """How long its files are kept; 0: as long as is usual."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A row. `active`: something is still to be done about it. Moments are microseconds UTC; 0: not yet."""

    who: Who
    id: str
    status: Status
    active: bool
    ending: Ending
    endpoint: str
    input_file: str
    output_file: str = ""
    error_file: str = ""
    metadata: dict[str, str] = {}
    output_expires_s: int = 0
    model: str = ""
    """The only model that its lines ask for; empty: several, or not known yet."""
    total: int = 0
    fed: int = 0
    """How many lines have become jobs."""
    completed: int = 0
    failed: int = 0
    usage: Usage = Usage()
    errors: tuple[LineError, ...] = ()
    created_us: int
    expires_us: int
    in_progress_us: int = 0
    finalizing_us: int = 0
    cancelling_us: int = 0
    ended_us: int = 0

    @property
    def organisation(self) -> str:
        return self.who.organisation


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the input, checked as far as its form goes."""

    number: int
    custom_id: str
    body: bytes
    """The request's, as JSON."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was taken up."""

    line: int
    job: str
    custom_id: str
    outcome: Outcome
    answer: str = ""
    """JSON: `response` and `error` as the files of the batch have them; empty while there is none."""
    usage: Usage = Usage()


class ItemInput(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a line's job."""

    batch: str
    line: int
    url: str
    body: msgspec.Raw


class ItemResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a line's job: an answer, or a refusal that no further try would change."""

    outcome: Literal["completed", "failed"]
    response: msgspec.Raw
    """`status_code`, `request_id` and `body`."""
    usage: Usage = Usage()
