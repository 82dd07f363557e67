"""Requests and answers of Responses in full, for `/openapi.json`: what undercroft reads, and what it passes on.

A request is never decoded into these: a provider's own additions must get through. Tests hold that every field that is
read or written is described.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from undercroft.wire.openai.responses.answer import ErrorCode, ResponseUsage, Status
from undercroft.wire.openai.responses.described_items import ResponseInputItem, ResponseOutputItem
from undercroft.wire.openai.responses.described_tools import ResponseTool, ResponseToolChoice
from undercroft.wire.openai.sampling import Penalty, Positive

Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]


class ReasoningOptions(msgspec.Struct, kw_only=True):
    """How much the model is to think, and to tell of it."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | UnsetType | None = UNSET
    summary: Literal["auto", "concise", "detailed"] | UnsetType | None = UNSET
    generate_summary: Literal["auto", "concise", "detailed"] | UnsetType | None = UNSET
    context: Literal["auto", "current_turn", "all_turns"] | UnsetType | None = UNSET
    mode: str | UnsetType | None = UNSET


class PlainText(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """Text."""


class AnyJson(msgspec.Struct, kw_only=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class SchemaJson(msgspec.Struct, kw_only=True, tag_field="type", tag="json_schema"):
    """JSON that follows a schema."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct, kw_only=True):
    """What the answer's text is to be like."""

    format: PlainText | AnyJson | SchemaJson | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class StoredPrompt(msgspec.Struct, kw_only=True):
    """A stored prompt: a name of ours, or an id (`pmpt_…`) of one that OpenAI keeps. `version` is a label too."""

    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class ResponseStreamOptions(msgspec.Struct, kw_only=True):
    """How a stream is written. (`include_obfuscation` is understood and has no effect here.)"""

    include_obfuscation: bool | None = None


class ContextManagement(msgspec.Struct, kw_only=True):
    """What a provider does with a conversation that grows too long."""

    type: str
    compact_threshold: int | None = None


class CacheOptions(msgspec.Struct, kw_only=True):
    """How long prompts are kept for the next call."""

    mode: Literal["implicit", "explicit"] | None = None
    ttl: Literal["30m", "12h"] | None = None


class ModeratedBy(msgspec.Struct, kw_only=True):
    """Has input and output moderated by a provider."""

    model: str
    policy: dict[str, Any] | None = None


class _Asked(msgspec.Struct, kw_only=True):
    model: str | None = None
    input: str | list[ResponseInputItem] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: ResponseToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None


class ResponseRequest(_Asked, kw_only=True):
    """What is to be answered. `conversation` is refused: continue a response with `previous_response_id`."""

    prompt: StoredPrompt | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    background: bool | None = None
    include: list[Include] | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Positive | None = None
    metadata: dict[str, str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    service_tier: Tier | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Meta(max_length=64)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: CacheOptions | None = None
    context_management: list[ContextManagement] | None = None
    moderation: ModeratedBy | None = None


class TokenCountRequest(_Asked, kw_only=True):
    """A request whose tokens are to be counted."""

    personality: str | None = None


class ResponseError(msgspec.Struct, kw_only=True):
    """Why a response failed."""

    code: ErrorCode
    message: str


class IncompleteDetails(msgspec.Struct, kw_only=True):
    """Why a response is not complete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ResponseObject(msgspec.Struct, kw_only=True):
    """A response: its terms, as they were understood, and its output. What a provider of the format says besides is
    passed on."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: Status
    background: bool
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: str | list[ResponseInputItem] | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: list[ResponseOutputItem]
    output_text: str | UnsetType | None = UNSET
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt: StoredPrompt | None
    reasoning: ReasoningOptions
    store: bool
    temperature: float
    text: TextOptions
    tool_choice: ResponseToolChoice
    tools: list[ResponseTool]
    top_logprobs: int
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None
    user: str | None
    safety_identifier: str | None
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    prompt_cache_options: CacheOptions | UnsetType | None = UNSET
    service_tier: Tier
    metadata: dict[str, str]


class ResponseItemList(msgspec.Struct, kw_only=True):
    """Some of a response's input items."""

    object: Literal["list"] = "list"
    data: list[ResponseInputItem]
    first_id: str
    last_id: str
    has_more: bool
