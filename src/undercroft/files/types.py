"""Uploaded files, and those that batches leave: what is known of each besides its bytes."""

from typing import Final, Literal

import msgspec

from undercroft.record import Who

PREFIX: Final = "file-"
BATCH_KEPT_S: Final = 30 * 86_400
"""How long the files of batches are kept where nobody says otherwise, as OpenAI does."""

Purpose = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "fine-tune",
    "fine-tune-results",
    "vision",
    "user_data",
    "evals",
]
Order = Literal["asc", "desc"]


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever hands a file in says of it."""

    filename: str
    purpose: Purpose
    expires_after_s: int | None = None
    """From when it was made; None: never."""


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that are in the store, and that nobody sees as a file yet."""

    id: str
    who: Who
    size_bytes: int
    created_us: int


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file. Its bytes are the blob of the same organisation and name."""

    organisation: str
    id: str
    filename: str
    purpose: Purpose
    size_bytes: int
    created_us: int
    expires_us: int = 0
    """0: never."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Which files to list: those past `after`, by time."""

    limit: int
    order: Order = "desc"
    after: str | None = None
    purpose: str | None = None
