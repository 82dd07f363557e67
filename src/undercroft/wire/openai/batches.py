"""`/v1/batches`: what is asked, and how batches are told."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from undercroft.wire.body import read
from undercroft.wire.openai.sampling import Metadata
from undercroft.wire.query import read_query

Endpoint = Literal["/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/moderations"]


class OutputExpiry(msgspec.Struct, kw_only=True):
    """When the batch's files are deleted: so many seconds after they were made."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


class BatchRequest(msgspec.Struct, kw_only=True):
    """A batch as it is asked for."""

    input_file_id: Annotated[str, Meta(min_length=1, max_length=200)]
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: OutputExpiry | None = None


class BatchErrorView(msgspec.Struct, kw_only=True):
    """What is wrong with a line of the input, or with all of it."""

    code: str
    message: str
    param: str | None
    line: int | None


class BatchErrors(msgspec.Struct, kw_only=True):
    """Why the input cannot be used."""

    object: Literal["list"] = "list"
    data: list[BatchErrorView]


class BatchCounts(msgspec.Struct, kw_only=True):
    """How many of the lines came to what."""

    total: int
    completed: int
    failed: int


class BatchInputDetails(msgspec.Struct, kw_only=True):
    """Of the input."""

    cached_tokens: int


class BatchOutputDetails(msgspec.Struct, kw_only=True):
    """Of the output."""

    reasoning_tokens: int


class BatchUsage(msgspec.Struct, kw_only=True):
    """What all answers together have used, once the batch has ended."""

    input_tokens: int
    input_tokens_details: BatchInputDetails
    output_tokens: int
    output_tokens_details: BatchOutputDetails
    total_tokens: int


class BatchObject(msgspec.Struct, kw_only=True):
    """A batch."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str = "24h"
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: BatchCounts
    usage: BatchUsage | None
    metadata: Metadata | None


class BatchList(msgspec.Struct, kw_only=True):
    """Some of the batches."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class BatchQuery(msgspec.Struct, kw_only=True):
    """Which batches to list."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


_request: Final = msgspec.json.Decoder(BatchRequest)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> BatchRequest:
    """Raises InvalidRequest."""
    return read(_request, body)


def decode_query(query: bytes) -> BatchQuery:
    """Raises InvalidRequest."""
    return read_query(query, BatchQuery)


def encode_one(batch: BatchObject) -> bytes:
    return _encode(batch)


def encode_list(batches: Sequence[BatchObject], *, has_more: bool) -> bytes:
    ends = (batches[0].id, batches[-1].id) if batches else (None, None)
    return _encode(BatchList(data=list(batches), first_id=ends[0], last_id=ends[1], has_more=has_more))
