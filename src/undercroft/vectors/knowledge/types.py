"""What vector stores are made of: the store, its files, batches of them, and what is found."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from undercroft.errors import InvalidRequest, NotFound
from undercroft.vectors.filters import Filter
from undercroft.vectors.ingestion.types import Place, Plan
from undercroft.vectors.types import Metadata

STORE: Final = "vs_"
BATCH: Final = "vsfb_"
JOB: Final = "ingest"
"""The kind of job that takes a file in."""
ENDPOINT: Final = "/v1/vector_stores"
"""Where calls of the embedding model are booked."""

FileStatus = Literal["in_progress", "completed", "failed", "cancelled"]
ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]
Order = Literal["asc", "desc"]
DAY_US: Final = 86_400_000_000


class StoreExpired(InvalidRequest):
    """A vector store that was not used for as long as its owner said; its files are gone from it."""

    code = "vector_store_expired"


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """A vector store, as OpenAI calls it. The fields are columns."""

    organisation: str
    id: str
    name: str
    description: str
    metadata: dict[str, str]
    model: str
    """Its files are embedded with this one, and what is asked of it too."""
    collection: str
    expires_days: int | None
    """After its last use."""
    expires_us: int | None
    active_us: int
    created_us: int

    @property
    def place(self) -> Place:
        return Place(organisation=self.organisation, collection=self.collection, namespace=self.id)

    def is_expired(self, now_us: int) -> bool:
        return self.expires_us is not None and self.expires_us <= now_us


class KnowledgeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a vector store. Its status is that of the job that takes it in, until that has ended."""

    store: str
    id: str
    batch: str
    job: str
    status: FileStatus
    error_code: ErrorCode | Literal[""]
    error: str
    attributes: dict[str, str | int | float | bool]
    plan: Plan
    usage_bytes: int
    created_us: int


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Files that were handed in together."""

    id: str
    store: str
    is_cancelled: bool
    created_us: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many files there are of each status, and what the completed ones take."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    usage_bytes: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be taken in."""

    file: str
    attributes: Mapping[str, str | int | float | bool] = {}
    plan: Plan | None = None
    """None: as suits the model."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Which of a list, by time of making."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    before: str | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for in a vector store."""

    texts: Sequence[str]
    limit: int = 10
    where: Filter | None = None
    threshold: float = 0.0
    by_words: bool = True
    """Whether words count beside meaning, where the vector store can find by them."""
    weights: tuple[float, float] = (1.0, 1.0)
    """Of meaning and of words."""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    file: str
    filename: str
    score: float
    """0 to 1; higher is better."""
    attributes: Metadata
    text: str


def unknown_store(id: str) -> NotFound:
    return NotFound(
        f"No vector store found with id '{id[:100]}'.", code="unknown_vector_store", param="vector_store_id"
    )


def unknown_file(id: str) -> NotFound:
    return NotFound(f"No file found with id '{id[:100]}' in this vector store.", code="unknown_file", param="file_id")


def unknown_batch(id: str) -> NotFound:
    return NotFound(f"No file batch found with id '{id[:100]}'.", code="unknown_file_batch", param="batch_id")
