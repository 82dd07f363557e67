"""The response object and its items. We write all fields of an object, unknown ones of a provider's ride along.

`/openapi.json` is made from these types too.
"""

from typing import Any, Final, Literal, get_args

import msgspec

from undercroft.errors import UndercroftError, UpstreamError
from undercroft.llm.types import Choice, Usage
from undercroft.wire.errors import ErrorBody, envelope
from undercroft.wire.openai.responses.items import SIGNATURE
from undercroft.wire.openai.responses.request import ResponsesBody

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Status = Literal["queued", "in_progress", "completed", "failed", "incomplete", "cancelled"]
ACTIVE: Final[tuple[Status, ...]] = ("queued", "in_progress")
"""An answer that is still being made."""


class OutputText(msgspec.Struct, kw_only=True, tag_field="type", tag="output_text"):
    """What the model says."""

    text: str
    annotations: list[dict[str, Any]] = []
    logprobs: list[dict[str, Any]] = []


class OutputRefusal(msgspec.Struct, kw_only=True, tag_field="type", tag="refusal"):
    """What the model says when it will not answer."""

    refusal: str


class OutputMessage(msgspec.Struct, kw_only=True, tag_field="type", tag="message"):
    """A message of the model's."""

    id: str
    status: ItemStatus
    role: Literal["assistant"] = "assistant"
    content: list[OutputText | OutputRefusal]
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCall(msgspec.Struct, kw_only=True, tag_field="type", tag="function_call"):
    """A call of a function that the model wants made; `arguments` is JSON text."""

    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class CustomToolCall(msgspec.Struct, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """A call of a custom tool that the model wants made."""

    id: str
    status: ItemStatus
    call_id: str
    name: str
    input: str


class SummaryText(msgspec.Struct, kw_only=True, tag_field="type", tag="summary_text"):
    """A summary of what the model thought."""

    text: str


class ReasoningText(msgspec.Struct, kw_only=True, tag_field="type", tag="reasoning_text"):
    """What the model thought."""

    text: str


class Reasoning(msgspec.Struct, kw_only=True, tag_field="type", tag="reasoning"):
    """The model's thinking. `encrypted_content` is sent back with it, so that the model may go on from there."""

    id: str
    status: ItemStatus
    summary: list[SummaryText] = []
    content: list[ReasoningText] = []
    encrypted_content: str | None = None


class FoundInFile(msgspec.Struct, kw_only=True):
    """A passage that was found."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, Any]
    text: str


class FileSearchCall(msgspec.Struct, kw_only=True, tag_field="type", tag="file_search_call"):
    """A search in vector stores that was made for the answer."""

    id: str
    status: Literal["in_progress", "searching", "completed"]
    queries: list[str]
    results: list[FoundInFile] | None = None


OutputItem = OutputMessage | FunctionCall | CustomToolCall | Reasoning | FileSearchCall


class ResponseInputDetails(msgspec.Struct, kw_only=True):
    """Parts of the input's tokens."""

    cached_tokens: int
    cache_write_tokens: int


class ResponseOutputDetails(msgspec.Struct, kw_only=True):
    """Parts of the output's tokens."""

    reasoning_tokens: int


class ResponseUsage(msgspec.Struct, kw_only=True):
    """Tokens of one response."""

    input_tokens: int
    input_tokens_details: ResponseInputDetails
    output_tokens: int
    output_tokens_details: ResponseOutputDetails
    total_tokens: int


class ResponseFailure(msgspec.Struct, kw_only=True):
    """Why a response failed."""

    code: str
    message: str


class Incomplete(msgspec.Struct, kw_only=True):
    """Why a response is not complete."""

    reason: str


class ReasoningTerms(msgspec.Struct, kw_only=True):
    """How much the model was to think, and to tell of it."""

    effort: str | None = None
    summary: str | None = None


class Response(msgspec.Struct, kw_only=True):
    """A response: its terms, as they were understood, and its output."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Status
    background: bool
    error: ResponseFailure | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: list[OutputItem] = []
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt: dict[str, Any] | None
    reasoning: ReasoningTerms
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None = None
    user: str | None
    safety_identifier: str | None
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    service_tier: str
    metadata: dict[str, str]


class DeletedResponse(msgspec.Struct, kw_only=True):
    """A response that is no more."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class ItemList(msgspec.Struct, kw_only=True):
    """Some of a response's input items."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str
    last_id: str
    has_more: bool


class InputTokens(msgspec.Struct, kw_only=True):
    """How many tokens a request would send."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


_encode = msgspec.json.Encoder().encode


def begun(body: ResponsesBody, *, id: str, created: int, model: str, status: Status = "in_progress") -> Response:
    """The object of a response that has no output yet. What was left open is told as it is by default."""
    reasoning, text = body.reasoning, body.text
    return Response(
        id=id,
        created_at=created,
        status=status,
        background=bool(body.background),
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls,
        model=model,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        previous_response_id=body.previous_response_id,
        prompt=body.prompt,
        reasoning=ReasoningTerms(
            effort=reasoning.effort if reasoning else None, summary=reasoning.summary if reasoning else None
        ),
        store=body.store is not False,
        temperature=_or(body.temperature, 1.0),
        text=_text_terms(body) if text else {"format": {"type": "text"}, "verbosity": "medium"},
        tool_choice=body.tool_choice or "auto",
        tools=[_tool_terms(tool) for tool in body.tools or ()],
        top_logprobs=body.top_logprobs or 0,
        top_p=_or(body.top_p, 1.0),
        presence_penalty=_or(body.presence_penalty, 0.0),
        frequency_penalty=_or(body.frequency_penalty, 0.0),
        truncation=body.truncation or "disabled",
        user=body.user,
        safety_identifier=body.safety_identifier,
        prompt_cache_key=body.prompt_cache_key,
        prompt_cache_retention=body.prompt_cache_retention,
        service_tier=body.service_tier if body.service_tier not in (None, "auto") else "default",
        metadata=body.metadata or {},
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _text_terms(body: ResponsesBody) -> dict[str, Any]:
    text = body.text
    assert text is not None
    shape = text.format
    told: dict[str, Any] = {"type": shape.type if shape else "text"}
    if shape is not None and shape.type == "json_schema":
        told |= {
            "name": shape.name,
            "description": shape.description,
            "schema": shape.schema,
            "strict": bool(shape.strict),
        }
    return {"format": told, "verbosity": text.verbosity or "medium"}


def _tool_terms(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        return tool
    return {"description": None, **tool, "parameters": tool.get("parameters"), "strict": bool(tool.get("strict"))}


def response_usage(usage: Usage) -> ResponseUsage:
    """Usage as responses tell it."""
    return ResponseUsage(
        input_tokens=usage.input,
        input_tokens_details=ResponseInputDetails(cached_tokens=usage.cache_read, cache_write_tokens=usage.cache_write),
        output_tokens=usage.output,
        output_tokens_details=ResponseOutputDetails(reasoning_tokens=usage.reasoning),
        total_tokens=usage.total,
    )


def items_of(choice: Choice, suffix: str) -> list[OutputItem]:
    """A whole answer's items, in the order in which a model makes them."""
    status: ItemStatus = "incomplete" if incomplete_reason(choice.finish_reason) else "completed"
    items: list[OutputItem] = []
    if choice.reasoning:
        items.append(reasoning_item(choice.reasoning, choice.signature, id=item_id("rs_", suffix, 0)))
    content: list[OutputText | OutputRefusal] = []
    if choice.text or not (choice.tool_calls or choice.refusal):
        content.append(OutputText(text=choice.text, logprobs=text_logprobs(choice.logprobs)))
    if choice.refusal:
        content.append(OutputRefusal(refusal=choice.refusal))
    if content:
        items.append(OutputMessage(id=item_id("msg_", suffix, len(items)), status=status, content=content))
    for call in choice.tool_calls:
        at, name = len(items), call.name or ""
        call_id = call.id or item_id("call_", suffix, at)
        if call.type == "custom":
            own = item_id("ctc_", suffix, at)
            items.append(CustomToolCall(id=own, status=status, call_id=call_id, name=name, input=call.arguments))
        else:
            own = item_id("fc_", suffix, at)
            items.append(FunctionCall(id=own, status=status, call_id=call_id, name=name, arguments=call.arguments))
    return items


def reasoning_item(text: str, signature: str, *, id: str, status: ItemStatus = "completed") -> Reasoning:
    return Reasoning(
        id=id,
        status=status,
        content=[ReasoningText(text=text)],
        encrypted_content=SIGNATURE + signature if signature else None,
    )


def item_id(prefix: str, suffix: str, place: int) -> str:
    """Ids of our own, told apart by their place in the response."""
    return f"{prefix}{suffix}{place:03x}"


def text_logprobs(logprobs: Any) -> list[dict[str, Any]]:
    """Out of chat's shape, where the list has a name."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return content if isinstance(content, list) else []


def incomplete_reason(finish_reason: str | None) -> str | None:
    """Why an answer is not whole; None when it is."""
    return {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish_reason or "")


ErrorCode = Literal[
    "server_error",
    "rate_limit_exceeded",
    "invalid_prompt",
    "data_residency_mismatch",
    "bio_policy",
    "vector_store_timeout",
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_content_policy_violation",
    "invalid_image_mode",
    "image_file_too_large",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
]
"""The only codes that clients know in a response."""


def failure_of(error: BaseException) -> ResponseFailure:
    """An error in the words of a response object."""
    told = _errors.decode(envelope(error, request_id="")[2]).error
    status = error.status if isinstance(error, UndercroftError) else 500
    code = "server_error" if status >= 500 or status == 499 else "invalid_prompt"
    if status == 429 or (isinstance(error, UpstreamError) and error.upstream_status == 429):
        code = "rate_limit_exceeded"
    if told.code in get_args(ErrorCode):
        code = told.code or code
    return ResponseFailure(code=code, message=told.message)


_errors = msgspec.json.Decoder(ErrorBody)
_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A response as it is stored and fetched: its whole object, with what is looked for in it."""

    id: str
    status: str
    model: str
    body: bytes


class _Head(msgspec.Struct):
    """As providers write it, whatever they leave out."""

    id: str
    status: str | None = None
    model: str | None = None
    output: list[dict[str, Any]] | None = None


_heads = msgspec.json.Decoder(_Head)


def ended(response: Response) -> Ended:
    return Ended(id=response.id, status=response.status, model=response.model, body=_encode(response))


def read_ended(body: bytes) -> Ended:
    """Of an object that has an id."""
    head = _heads.decode(body)
    return Ended(id=head.id, status=head.status or "completed", model=head.model or "", body=body)


def output_of(body: bytes) -> list[dict[str, Any]]:
    """The items of a stored response."""
    return _heads.decode(body).output or []


def changed(body: bytes, **fields: object) -> bytes:
    """A response object with some members replaced, and all others as they were."""
    return _encode({**_objects.decode(body), **fields})


def stopped(body: bytes, status: Status, *, why: ResponseFailure | None = None) -> Ended:
    """A response that ended before its answer did."""
    return read_ended(changed(body, status=status, error=why))
