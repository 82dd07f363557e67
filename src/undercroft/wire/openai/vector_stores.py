"""OpenAI's vector stores, their files, file batches and searches: what is read, and what is written."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from undercroft.errors import InvalidRequest
from undercroft.wire.body import invalid, missing, read
from undercroft.wire.openai.responses.described_tools import AttributeComparison
from undercroft.wire.openai.sampling import Metadata
from undercroft.wire.query import read_query

AttributeName = Annotated[str, Meta(min_length=1, max_length=64)]
AttributeValue = Annotated[str, Meta(max_length=512)] | float | int | bool
Attributes = Annotated[dict[AttributeName, AttributeValue], Meta(max_length=16)]
FileStatus = Literal["in_progress", "completed", "failed", "cancelled"]
MOST_RESULTS: Final = 50
MOST_QUERIES: Final = 32


class ExpiresAfter(msgspec.Struct, kw_only=True):
    """When a vector store expires: so many days after it was last used."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class StaticChunking(msgspec.Struct, kw_only=True):
    """Chunks of so many tokens at most, each repeating so many of the one before: at most half a chunk."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)]


class AutoStrategy(msgspec.Struct, kw_only=True, tag_field="type", tag="auto"):
    """By the file's own structure, as long as suits the embedding model."""


class StaticStrategy(msgspec.Struct, kw_only=True, tag_field="type", tag="static"):
    """After so many tokens, whatever the structure."""

    static: StaticChunking


class OtherStrategy(msgspec.Struct, kw_only=True, tag_field="type", tag="other"):
    """It is not known how the file was cut."""


Strategy = AutoStrategy | StaticStrategy


class VectorStoreCreate(msgspec.Struct, kw_only=True):
    """A vector store to be made, with files to begin with."""

    name: str | None = None
    description: str | None = None
    file_ids: Annotated[list[str], Meta(max_length=500)] | None = None
    expires_after: ExpiresAfter | None = None
    chunking_strategy: Strategy | None = None
    metadata: Metadata | None = None


class VectorStoreUpdate(msgspec.Struct, kw_only=True):
    """What is to change; what is left out stays."""

    name: str | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class FileAttach(msgspec.Struct, kw_only=True):
    """A file to be taken in."""

    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None


class BatchCreate(msgspec.Struct, kw_only=True):
    """Files to be taken in together: `file_ids` alike, or `files` each in its own way."""

    file_ids: Annotated[list[str], Meta(min_length=1, max_length=2000)] | None = None
    files: Annotated[list[FileAttach], Meta(min_length=1, max_length=2000)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None


class AttributesUpdate(msgspec.Struct, kw_only=True):
    """The attributes that replace the old ones."""

    attributes: Attributes | None


class RankingOptions(msgspec.Struct, kw_only=True):
    """How what is found is ranked. `none` goes by meaning alone; the others by words, too."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.0


class _Searched(msgspec.Struct, kw_only=True):
    query: str | Annotated[list[str], Meta(min_length=1, max_length=MOST_QUERIES)]
    max_num_results: Annotated[int, Meta(ge=1, le=MOST_RESULTS)] = 10
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False


class SearchBody(_Searched, kw_only=True):
    """A search as it is read: the filters are looked at by who knows them."""

    filters: dict[str, Any] | None = None

    @property
    def texts(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query


class VectorStoreSearch(_Searched, kw_only=True):
    """What is looked for. `rewrite_query` is understood, and queries are asked as they are."""

    filters: AttributeComparison | UnsetType | None = UNSET


class FileCounts(msgspec.Struct, kw_only=True):
    """How many files there are of each status."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStoreObject(msgspec.Struct, kw_only=True):
    """A vector store. `usage_bytes` is the text of its files."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpiresAfter | UnsetType = UNSET
    expires_at: int | None
    last_active_at: int | None
    metadata: dict[str, str] | None


class VectorStoreDeleted(msgspec.Struct, kw_only=True):
    """It is gone."""

    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: bool = True


class FileError(msgspec.Struct, kw_only=True):
    """Why a file could not be taken in."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class VectorStoreFileObject(msgspec.Struct, kw_only=True):
    """A file in a vector store."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    usage_bytes: int
    status: FileStatus
    last_error: FileError | None
    chunking_strategy: StaticStrategy | OtherStrategy
    attributes: dict[str, AttributeValue] | None


class VectorStoreFileDeleted(msgspec.Struct, kw_only=True):
    """It is no longer in this vector store; the file itself is still there."""

    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: bool = True


class VectorStoreFileBatchObject(msgspec.Struct, kw_only=True):
    """Files that were handed in together."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: FileStatus
    file_counts: FileCounts


class VectorStoreList(msgspec.Struct, kw_only=True):
    """Some of the vector stores."""

    object: Literal["list"] = "list"
    data: list[VectorStoreObject]
    first_id: str
    last_id: str
    has_more: bool


class VectorStoreFileList(msgspec.Struct, kw_only=True):
    """Some of the files."""

    object: Literal["list"] = "list"
    data: list[VectorStoreFileObject]
    first_id: str
    last_id: str
    has_more: bool


class SearchText(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """A passage."""

    text: str


class SearchResult(msgspec.Struct, kw_only=True):
    """A passage that was found, and the file it is from."""

    file_id: str
    filename: str
    score: Annotated[float, Meta(ge=0, le=1)]
    attributes: dict[str, AttributeValue] | None
    content: list[SearchText]


class SearchResults(msgspec.Struct, kw_only=True):
    """What was found, best first: all of it, so there is no next page."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: bool = False
    next_page: str | None = None


class FileText(msgspec.Struct, kw_only=True):
    """A chunk of a file."""

    type: Literal["text"] = "text"
    text: str


class VectorStoreFileContent(msgspec.Struct, kw_only=True):
    """A file as it was read: its chunks, in their order."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[FileText]
    has_more: bool = False
    next_page: str | None = None


class Page(msgspec.Struct, kw_only=True):
    """Which of a list."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None
    filter: FileStatus | None = None


_creates = msgspec.json.Decoder(VectorStoreCreate)
_updates = msgspec.json.Decoder(VectorStoreUpdate)
_attaches = msgspec.json.Decoder(FileAttach)
_batches = msgspec.json.Decoder(BatchCreate)
_attributes = msgspec.json.Decoder(AttributesUpdate)
_searches = msgspec.json.Decoder(SearchBody)


def decode_create(body: bytes) -> VectorStoreCreate:
    """Raises InvalidRequest, as all of these."""
    asked = read(_creates, body)
    _check_strategy(asked.chunking_strategy, "chunking_strategy")
    if asked.chunking_strategy is not None and not asked.file_ids:
        raise invalid("'chunking_strategy' is only allowed with 'file_ids'.", param="chunking_strategy")
    return asked


def decode_update(body: bytes) -> VectorStoreUpdate:
    return read(_updates, body)


def decode_attach(body: bytes) -> FileAttach:
    asked = read(_attaches, body)
    _check_strategy(asked.chunking_strategy, "chunking_strategy")
    return asked


def decode_batch(body: bytes) -> list[FileAttach]:
    """The files, each once: of one that is named twice, the last counts."""
    asked = read(_batches, body)
    if asked.files is None and asked.file_ids is None:
        raise missing("file_ids")
    if asked.files is not None and asked.file_ids is not None:
        raise invalid("'file_ids' and 'files' exclude each other.", param="files")
    _check_strategy(asked.chunking_strategy, "chunking_strategy")
    if asked.file_ids is not None:
        files = [
            FileAttach(file_id=file, attributes=asked.attributes, chunking_strategy=asked.chunking_strategy)
            for file in asked.file_ids
        ]
    else:
        if asked.attributes is not None or asked.chunking_strategy is not None:
            raise invalid("With 'files', each has its own 'attributes' and 'chunking_strategy'.", param="files")
        files = asked.files or []
        for place, file in enumerate(files):
            _check_strategy(file.chunking_strategy, f"files[{place}].chunking_strategy")
    return list({file.file_id: file for file in files}.values())


def decode_attributes(body: bytes) -> dict[str, str | float | int | bool]:
    return read(_attributes, body).attributes or {}


def decode_search(body: bytes) -> SearchBody:
    asked = read(_searches, body)
    for place, text in enumerate(asked.texts):
        if not text.strip():
            where = "query" if isinstance(asked.query, str) else f"query[{place}]"
            raise InvalidRequest(f"Invalid '{where}': it is empty.", code="empty_string", param=where)
    return asked


def decode_page(query: bytes) -> Page:
    return read_query(query, Page)


def _check_strategy(strategy: Strategy | None, where: str) -> None:
    if isinstance(strategy, StaticStrategy):
        static = strategy.static
        if static.chunk_overlap_tokens > static.max_chunk_size_tokens // 2:
            raise invalid(
                "'chunk_overlap_tokens' is at most half of 'max_chunk_size_tokens'.",
                param=f"{where}.static.chunk_overlap_tokens",
            )
