"""What ingestion speaks of: files, what is read from them, chunks, and where they go."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.vectors.types import Metadata

Strategy = Literal["structure", "sentences", "tokens"]
"""How a text is cut: where its own parts begin, between sentences, or after so many tokens."""


class Unreadable(InvalidRequest):
    """A file that nothing can be read from. Only this file fails."""

    code = "unreadable_file"


class UnsupportedFormat(Unreadable):
    """A file of a kind that there is no reader for."""

    code = "unsupported_file"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be ingested. The same `id` again takes the place of what it was."""

    id: str
    name: str
    """Its ending says the format."""
    content: bytes
    attributes: Metadata = {}
    """Metadata of all its chunks: what filters ask for."""


class Mark(msgspec.Struct, frozen=True):
    """Where a part of a text begins."""

    start: int
    """In characters from the beginning of the text."""
    title: str = ""
    """The headings above it, outermost first: `Guide > Install`."""
    page: int | None = None


class Document(msgspec.Struct, frozen=True):
    """What was read from a file."""

    text: str
    marks: tuple[Mark, ...] = ()
    """In the order of the text. What comes before the first belongs to no part."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a text is cut into chunks."""

    strategy: Strategy = "structure"
    size: int = 256
    """Most tokens of a chunk."""
    overlap: int = 64
    """Tokens that a chunk repeats of the one before, at most."""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST_TOKENS:
            raise InvalidRequest(f"A chunk of {self.size} tokens is out of range.", param="size")
        if not 0 <= self.overlap <= self.size // 2:
            raise InvalidRequest("The overlap is at least 0, and at most half a chunk.", param="overlap")


MOST_TOKENS: Final = 4096


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that gets a vector of its own."""

    text: str
    tokens: int
    title: str = ""
    page: int | None = None

    @property
    def embedded(self) -> str:
        """What the vector is made of: the passage under its headings."""
        return f"{self.title}\n{self.text}" if self.title else self.text


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where chunks go."""

    organisation: str
    collection: str
    namespace: str = ""


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a file."""

    source: str
    chunks: int
    tokens: int
    embedded: int
    """Chunks that needed a new vector; the others had been embedded before."""
    text_bytes: int
    is_unchanged: bool = False
    """It is there already, cut in the same way: nothing was done."""


SOURCE: Final = "_source"
GENERATION: Final = "_generation"
DIGEST: Final = "_digest"
NUMBER: Final = "_chunk"
NAME: Final = "_file"
TITLE: Final = "_title"
PAGE: Final = "_page"
RESERVED: Final = frozenset((SOURCE, GENERATION, DIGEST, NUMBER, NAME, TITLE, PAGE))
"""Metadata fields that ingestion writes."""


def own_metadata(metadata: Metadata) -> Mapping[str, object]:
    """What the file's owner gave, without what ingestion wrote beside it."""
    return {name: value for name, value in metadata.items() if name not in RESERVED}
