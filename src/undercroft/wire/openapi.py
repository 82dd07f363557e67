"""The AI routes as an OpenAPI 3.1 document, made from the types they are read and written with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta, UnsetType

from undercroft.wire.anthropic.answer import AnthropicMessage
from undercroft.wire.anthropic.count import AnthropicCount
from undercroft.wire.anthropic.errors import AnthropicErrorBody
from undercroft.wire.anthropic.request import CountTokensRequest, MessagesRequest
from undercroft.wire.errors import ErrorBody
from undercroft.wire.feedback import FeedbackList, FeedbackRequest, FeedbackView
from undercroft.wire.generate import GenerateAnswer, GenerateRequest
from undercroft.wire.jobs import JobDeliveries, JobList, JobRequest, JobStatus, JobView
from undercroft.wire.openai import vector_stores as stores
from undercroft.wire.openai.answers import ChatCompletion, Completion, EmbeddingList
from undercroft.wire.openai.batches import BatchList, BatchObject, BatchRequest
from undercroft.wire.openai.chat.stored import (
    StoredChatDeleted,
    StoredChatList,
    StoredChatUpdate,
    StoredMessageList,
)
from undercroft.wire.openai.completions import CompletionBody
from undercroft.wire.openai.described import ChatCompletionRequest
from undercroft.wire.openai.files import FileDeleted, FileList, FileObject, FileUpload
from undercroft.wire.openai.inputs import TokenId
from undercroft.wire.openai.models import Model, ModelDeleted, Models
from undercroft.wire.openai.moderations import ModerationAnswer
from undercroft.wire.openai.responses import DeletedResponse, InputTokens
from undercroft.wire.openai.responses.described import (
    ResponseItemList,
    ResponseObject,
    ResponseRequest,
    TokenCountRequest,
)


class CompletionRequest(CompletionBody, kw_only=True):
    """Text, or token ids, to continue."""


class EmbeddingsRequest(msgspec.Struct, kw_only=True):
    """Texts, or token ids, to turn into vectors: at most 2048 of them."""

    input: str | Annotated[list[str | TokenId | list[TokenId]], Meta(min_length=1, max_length=2048)]
    model: str | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class ModerationText(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """Text."""

    text: str


class ModerationImageUrl(msgspec.Struct, kw_only=True):
    """An image's address, or its bytes as a `data:` URL."""

    url: str


class ModerationImage(msgspec.Struct, kw_only=True, tag_field="type", tag="image_url"):
    """An image. The built-in rules read text only."""

    image_url: ModerationImageUrl


class ModerationsRequest(msgspec.Struct, kw_only=True):
    """A text, several, or the parts of one input."""

    input: str | Annotated[list[str | ModerationText | ModerationImage], Meta(min_length=1, max_length=2048)]
    model: str | None = None


class Health(msgspec.Struct, kw_only=True):
    """Whether requests are served, and how each service does."""

    status: Literal["ok", "degraded", "unavailable"]
    version: str
    checks: dict[str, str]


@dataclass(frozen=True)
class Operation:
    """One route as the document tells it."""

    method: Literal["get", "post", "delete"]
    path: str
    summary: str
    answer: type | None = None
    """None: plain text."""
    request: type | None = None
    query: tuple[tuple[str, dict[str, Any]], ...] = ()
    streams: bool = False
    unavailable: bool = False
    """Answers 503 with a body of the same form."""
    is_open: bool = False
    """Wants no key, whatever the door."""
    error: type = ErrorBody
    """The body of its refusals."""
    done: str = "Done."
    """What its success says."""
    success: str = "200"
    is_form: bool = False
    """The request is multipart/form-data."""
    is_file: bool = False
    """The answer is bytes, whatever they are."""
    conflicts: bool = False
    """May be 409."""


_TEXT: Final = {"type": "string"}
_PAGE: Final = (
    ("after", _TEXT),
    ("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    ("order", {"type": "string", "enum": ["asc", "desc"], "default": "asc"}),
)
_STORED_CHATS: Final = (
    ("model", _TEXT),
    ("metadata", {"type": "object", "additionalProperties": _TEXT}),
    *_PAGE,
)
_TEXTS: Final = {"type": "array", "items": _TEXT}
_STORES: Final = "/v1/vector_stores"
_STORE: Final = f"{_STORES}/{{vector_store_id}}"
_STORES_FILE: Final = f"{_STORE}/files/{{file_id}}"
_FILE_BATCH: Final = f"{_STORE}/file_batches/{{batch_id}}"
_LATEST: Final = (
    ("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    ("order", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
    ("after", _TEXT),
    ("before", _TEXT),
)
_THEIR_FILES: Final = (*_LATEST, ("filter", {"type": "string", "enum": list(get_args(stores.FileStatus))}))

OPERATIONS: Final = (
    Operation(
        "post",
        "/api/generate",
        "A prompt in, a text and its cost out",
        GenerateAnswer,
        request=GenerateRequest,
        query=(
            ("prompt", _TEXT),
            ("model", _TEXT),
            ("max_tokens", {"type": "integer", "minimum": 1}),
            ("temperature", {"type": "number", "minimum": 0, "maximum": 2}),
            ("stream", {"type": "boolean"}),
        ),
        streams=True,
    ),
    Operation(
        "post", "/v1/chat/completions", "Continue a conversation", ChatCompletion,
        request=ChatCompletionRequest, streams=True,
    ),
    Operation("post", "/v1/completions", "Continue a text", Completion, request=CompletionRequest, streams=True),
    Operation("post", "/v1/embeddings", "Turn texts into vectors", EmbeddingList, request=EmbeddingsRequest),
    Operation("get", "/v1/chat/completions", "Kept chat completions", StoredChatList, query=_STORED_CHATS),
    Operation("get", "/v1/chat/completions/{completion_id}", "One that was kept", ChatCompletion),
    Operation(
        "post", "/v1/chat/completions/{completion_id}", "Give it other metadata", ChatCompletion,
        request=StoredChatUpdate,
    ),
    Operation("delete", "/v1/chat/completions/{completion_id}", "Delete one that was kept", StoredChatDeleted),
    Operation(
        "get", "/v1/chat/completions/{completion_id}/messages", "What it continued", StoredMessageList, query=_PAGE
    ),
    Operation("post", "/v1/moderations", "Judge texts and images", ModerationAnswer, request=ModerationsRequest),
    Operation(
        "post", "/v1/responses", "Answer, whole, streamed or in the background", ResponseObject,
        request=ResponseRequest, streams=True,
    ),
    Operation(
        "post", "/v1/responses/input_tokens", "About how many tokens a request has", InputTokens,
        request=TokenCountRequest,
    ),
    Operation(
        "get", "/v1/responses/{response_id}", "A kept response, or its events", ResponseObject, streams=True,
        query=(
            ("stream", {"type": "boolean"}),
            ("starting_after", {"type": "integer", "minimum": 0}),
            ("include", _TEXTS),
            ("include_obfuscation", {"type": "boolean"}),
        ),
    ),
    Operation("delete", "/v1/responses/{response_id}", "Delete a kept response", DeletedResponse),
    Operation("post", "/v1/responses/{response_id}/cancel", "Stop a background response", ResponseObject),
    Operation(
        "get", "/v1/responses/{response_id}/input_items", "What went into a response", ResponseItemList,
        query=(
            ("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            ("order", {"type": "string", "enum": ["asc", "desc"]}),
            ("after", _TEXT),
            ("include", _TEXTS),
        ),
    ),
    Operation("get", "/v1/models", "Which models may be asked for", Models),
    Operation("get", "/v1/models/{model}", "One model", Model),
    Operation(
        "delete", "/v1/models/{model}", "Delete a model", ModelDeleted,
        done="Deleted. (Models of the settings, all there are in this version, answer 403.)",
    ),
    Operation("post", "/v1/files", "Hand in a file", FileObject, request=FileUpload, is_form=True),
    Operation(
        "get", "/v1/files", "Files, the latest first", FileList,
        query=(
            ("purpose", _TEXT),
            ("limit", {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 10_000}),
            ("order", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
            ("after", _TEXT),
        ),
    ),
    Operation("get", "/v1/files/{file_id}", "One file", FileObject),
    Operation("delete", "/v1/files/{file_id}", "Delete a file", FileDeleted),
    Operation("get", "/v1/files/{file_id}/content", "What is in a file", is_file=True),
    Operation("post", _STORES, "Make a vector store", stores.VectorStoreObject, request=stores.VectorStoreCreate),
    Operation("get", _STORES, "Vector stores, the latest first", stores.VectorStoreList, query=_LATEST),
    Operation("get", _STORE, "One vector store", stores.VectorStoreObject),
    Operation("post", _STORE, "Change a vector store", stores.VectorStoreObject, request=stores.VectorStoreUpdate),
    Operation("delete", _STORE, "Delete a vector store", stores.VectorStoreDeleted),
    Operation("post", f"{_STORE}/search", "Find passages", stores.SearchResults, request=stores.VectorStoreSearch),
    Operation(
        "post", f"{_STORE}/files", "Take a file in", stores.VectorStoreFileObject, request=stores.FileAttach,
    ),
    Operation("get", f"{_STORE}/files", "Its files, the latest first", stores.VectorStoreFileList, query=_THEIR_FILES),
    Operation("get", _STORES_FILE, "One of its files", stores.VectorStoreFileObject),
    Operation(
        "post", _STORES_FILE, "Give a file other attributes", stores.VectorStoreFileObject,
        request=stores.AttributesUpdate,
    ),
    Operation("delete", _STORES_FILE, "Take a file out", stores.VectorStoreFileDeleted),
    Operation("get", f"{_STORES_FILE}/content", "A file as it was read", stores.VectorStoreFileContent),
    Operation(
        "post", f"{_STORE}/file_batches", "Take files in together", stores.VectorStoreFileBatchObject,
        request=stores.BatchCreate,
    ),
    Operation("get", _FILE_BATCH, "How far a batch is", stores.VectorStoreFileBatchObject),
    Operation("post", f"{_FILE_BATCH}/cancel", "Stop a batch", stores.VectorStoreFileBatchObject),
    Operation(
        "get", f"{_FILE_BATCH}/files", "Files of a batch, the latest first", stores.VectorStoreFileList,
        query=_THEIR_FILES,
    ),
    Operation("post", "/v1/batches", "Hand in a batch of calls", BatchObject, request=BatchRequest),
    Operation(
        "get", "/v1/batches", "Batches, the latest first", BatchList,
        query=(("after", _TEXT), ("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20})),
    ),
    Operation("get", "/v1/batches/{batch_id}", "How far a batch has come", BatchObject),
    Operation("post", "/v1/batches/{batch_id}/cancel", "Cancel a batch", BatchObject, conflicts=True),
    Operation(
        "post", "/v1/messages", "Continue a conversation, in Anthropic's format", AnthropicMessage,
        request=MessagesRequest, streams=True, error=AnthropicErrorBody,
    ),
    Operation(
        "post", "/v1/messages/count_tokens", "How many tokens a conversation is", AnthropicCount,
        request=CountTokensRequest, error=AnthropicErrorBody,
    ),
    Operation(
        "post", "/api/v1/jobs", "Hand in a job", JobView, request=JobRequest, success="202", conflicts=True,
        done="It is accepted and will be done; `Location` is where it is found.",
    ),
    Operation(
        "get", "/api/v1/jobs", "Jobs, the latest first", JobList,
        query=(
            ("status", {"type": "string", "enum": list(get_args(JobStatus))}),
            ("kind", _TEXT),
            ("queue", _TEXT),
            ("before", _TEXT),
            ("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        ),
    ),
    Operation(
        "post", "/api/v1/feedback", "Say what an answer was worth", FeedbackView,
        request=FeedbackRequest, success="201",
    ),
    Operation(
        "get", "/api/v1/feedback", "What was said of answers, the latest first", FeedbackList,
        query=(("source", _TEXT), ("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100})),
    ),
    Operation("get", "/api/v1/jobs/{job_id}", "A job and its result", JobView),
    Operation("get", "/api/v1/jobs/{job_id}/deliveries", "What is posted to a job's webhook", JobDeliveries),
    Operation("post", "/api/v1/jobs/{job_id}/cancel", "Stop a job", JobView),
    Operation("post", "/api/v1/jobs/{job_id}/retry", "Run a dead or cancelled job again", JobView, conflicts=True),
    Operation(
        "get", "/api/v1/jobs/{job_id}/events", "What happens to a job", None, streams=True,
        query=(("after", {"type": "integer", "minimum": -1, "default": -1}),),
    ),
    Operation("get", "/health", "Whether requests are served", Health, unavailable=True, is_open=True),
    Operation("get", "/health/live", "Whether the process runs", Health, is_open=True),
    Operation("get", "/health/ready", "Whether requests should be sent here", Health, unavailable=True, is_open=True),
    Operation("get", "/metrics", "Prometheus metrics"),
)  # fmt: skip

_REFUSALS: Final = (
    ("400", "The request cannot be understood."),
    ("401", "No valid key."),
    ("403", "This key may not do that, or nobody may."),
    ("404", "No such thing, or not for this key."),
    ("413", "The body is too large."),
    ("429", "A limit or budget is used up; `Retry-After` says until when."),
    ("502", "The provider refused, or answered with something unusable."),
    ("503", "Busy or away for now; `Retry-After` says for how long."),
    ("504", "The provider took too long."),
)

_READ_REFUSALS: Final = tuple(each for each in _REFUSALS if each[0] in ("400", "401", "403", "404", "503"))


def document(*, version: str) -> dict[str, Any]:
    """The document, to be joined with that of the management API."""
    types = [t for operation in OPERATIONS for t in (operation.request, operation.answer) if t is not None]
    errors: list[type] = list(dict.fromkeys(operation.error for operation in OPERATIONS))
    _, schemas = msgspec.json.schema_components([*types, *errors], ref_template="#/components/schemas/{name}")
    _mark_always_there([*(operation.answer for operation in OPERATIONS), *errors], schemas)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "undercroft",
            "version": version,
            "description": "AI models behind one address, in OpenAI's and Anthropic's wire formats.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{operation.method}_{operation.path.strip('/').translate(_ID_CHARACTERS)}",
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],
    }
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.request is not None:
        described["requestBody"] = {
            "required": not operation.query,
            "content": {
                "multipart/form-data" if operation.is_form else "application/json": {
                    "schema": _reference(operation.request)
                }
            },
        }
    described["responses"] = _responses(operation)
    if operation.is_open:
        described["security"] = []
    return described


_ID_CHARACTERS: Final = str.maketrans({"/": "_", "{": "", "}": ""})


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": _TEXT}
        for part in operation.path.split("/")
        if part.startswith("{")
    ]
    return in_path + [_in_query(name, schema) for name, schema in operation.query]


def _in_query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A table is written `name[key]=value`, as OpenAI's SDKs do."""
    style = {"style": "deepObject"} if schema["type"] == "object" else {}
    return {"name": name, "in": "query", "schema": schema, **style}


def _responses(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.is_file:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    elif operation.answer is None:
        content = {} if operation.streams else {"text/plain": {"schema": _TEXT}}
    else:
        content = {"application/json": {"schema": _reference(operation.answer)}}
    if operation.streams:
        content["text/event-stream"] = {"schema": _TEXT}
    responses: dict[str, Any] = {operation.success: {"description": operation.done, "content": content}}
    if operation.unavailable:
        responses["503"] = {"description": "Not now; the checks say why.", "content": content}
    if not operation.is_open:
        refusals = _REFUSALS if operation.request is not None else _READ_REFUSALS
        body = {"application/json": {"schema": _reference(operation.error)}}
        responses |= {status: {"description": why, "content": body} for status, why in refusals}
        if operation.conflicts:
            responses["409"] = {"description": "What is there forbids it.", "content": body}
    return responses


def _reference(described: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{described.__name__}"}


def _mark_always_there(answers: list[type | None], schemas: Mapping[str, dict[str, Any]]) -> None:
    """A field of an answer is always written unless it can be UNSET; msgspec only knows which fields have defaults."""
    pending: list[Any] = [answer for answer in answers if answer is not None]
    seen: set[Any] = set()
    while pending:
        described = pending.pop()
        if described in seen:
            continue
        seen.add(described)
        pending += get_args(described)
        if isinstance(described, type) and issubclass(described, msgspec.Struct):
            fields = msgspec.structs.fields(described)
            always = [field.encode_name for field in fields if UnsetType not in get_args(field.type)]
            tag = described.__struct_config__.tag_field
            schemas[described.__name__]["required"] = sorted({*always, *([tag] if tag else [])})
            pending += [field.type for field in fields]
