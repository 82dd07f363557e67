"""OpenAI's requests in full, for `/openapi.json`: what undercroft reads, and what it passes on without looking.

A request is never decoded into these: a provider's own additions must get through. A test holds that every field that
is read is described.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from undercroft.wire.openai.answers import CalledFunction, CustomToolCall, FunctionToolCall
from undercroft.wire.openai.sampling import Metadata, Positive, SamplingBody
from undercroft.wire.prompts import PromptBody


class CacheBreakpoint(msgspec.Struct, kw_only=True, tag_field="mode", tag="explicit"):
    """The prompt up to here may be kept for the next call."""


class TextPart(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """Text."""

    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class RefusalPart(msgspec.Struct, kw_only=True, tag_field="type", tag="refusal"):
    """What the model said when it would not answer."""

    refusal: str


class ImageUrl(msgspec.Struct, kw_only=True):
    """An image's address, or its bytes as a `data:` URL."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(msgspec.Struct, kw_only=True, tag_field="type", tag="image_url"):
    """An image."""

    image_url: ImageUrl
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class InputAudio(msgspec.Struct, kw_only=True):
    """Sound in base64."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(msgspec.Struct, kw_only=True, tag_field="type", tag="input_audio"):
    """Sound."""

    input_audio: InputAudio
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class FileContent(msgspec.Struct, kw_only=True):
    """An uploaded file by its id, or a file's bytes in base64."""

    filename: str | None = None
    file_data: str | None = None
    file_id: str | None = None


class FilePart(msgspec.Struct, kw_only=True, tag_field="type", tag="file"):
    """A file."""

    file: FileContent
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class DeveloperMessage(msgspec.Struct, kw_only=True, tag_field="role", tag="developer"):
    """Instructions to the model; newer models' name for the system message."""

    content: str | list[TextPart]
    name: str | None = None


class SystemMessage(msgspec.Struct, kw_only=True, tag_field="role", tag="system"):
    """Instructions to the model."""

    content: str | list[TextPart]
    name: str | None = None


class UserMessage(msgspec.Struct, kw_only=True, tag_field="role", tag="user"):
    """What the user says or shows."""

    content: str | list[TextPart | ImagePart | AudioPart | FilePart]
    name: str | None = None


class EarlierAudio(msgspec.Struct, kw_only=True):
    """An earlier spoken answer."""

    id: str


class AssistantMessage(msgspec.Struct, kw_only=True, tag_field="role", tag="assistant"):
    """An earlier answer of the model's."""

    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    name: str | None = None
    audio: EarlierAudio | None = None
    tool_calls: list[FunctionToolCall | CustomToolCall] | None = None
    function_call: CalledFunction | None = None


class ToolMessage(msgspec.Struct, kw_only=True, tag_field="role", tag="tool"):
    """What a called tool gave back."""

    content: str | list[TextPart]
    tool_call_id: str


class FunctionMessage(msgspec.Struct, kw_only=True, tag_field="role", tag="function"):
    """What a called function gave back (the older form)."""

    content: str | None
    name: str


class FunctionSpec(msgspec.Struct, kw_only=True):
    """A function the model may call; `parameters` is its JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(msgspec.Struct, kw_only=True, tag_field="type", tag="function"):
    """A function the model may call."""

    function: FunctionSpec


class Grammar(msgspec.Struct, kw_only=True):
    """What a custom tool's input must look like."""

    definition: str
    syntax: Literal["lark", "regex"]


class FreeText(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """Anything."""


class GrammarText(msgspec.Struct, kw_only=True, tag_field="type", tag="grammar"):
    """What a grammar allows."""

    grammar: Grammar


class CustomSpec(msgspec.Struct, kw_only=True):
    """A tool that takes free-form input."""

    name: str
    description: str | None = None
    format: FreeText | GrammarText | None = None


class CustomToolSpec(msgspec.Struct, kw_only=True, tag_field="type", tag="custom"):
    """A tool that takes free-form input."""

    custom: CustomSpec


class ToolName(msgspec.Struct, kw_only=True):
    """A tool by its name."""

    name: str


class ThisFunction(msgspec.Struct, kw_only=True, tag_field="type", tag="function"):
    """This function must be called."""

    function: ToolName


class ThisCustomTool(msgspec.Struct, kw_only=True, tag_field="type", tag="custom"):
    """This custom tool must be called."""

    custom: ToolName


class ToolSelection(msgspec.Struct, kw_only=True):
    """The tools that may be called, and whether one must be."""

    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class TheseTools(msgspec.Struct, kw_only=True, tag_field="type", tag="allowed_tools"):
    """Only these tools may be called."""

    allowed_tools: ToolSelection


class TextFormat(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """Plain text."""


class JsonObjectFormat(msgspec.Struct, kw_only=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchema(msgspec.Struct, kw_only=True):
    """A schema with its name."""

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class JsonSchemaFormat(msgspec.Struct, kw_only=True, tag_field="type", tag="json_schema"):
    """JSON that follows a schema."""

    json_schema: JsonSchema


class Voice(msgspec.Struct, kw_only=True):
    """A voice of one's own."""

    id: str


class SpokenForm(msgspec.Struct, kw_only=True):
    """How an answer is to sound."""

    voice: str | Voice
    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"]


class Prediction(msgspec.Struct, kw_only=True, tag_field="type", tag="content"):
    """What much of the answer will be: it is then written faster."""

    content: str | list[TextPart]


class Place(msgspec.Struct, kw_only=True):
    """Roughly where somebody is."""

    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class UserPlace(msgspec.Struct, kw_only=True, tag_field="type", tag="approximate"):
    """Roughly where the user is."""

    approximate: Place


class WebSearch(msgspec.Struct, kw_only=True):
    """How to search the web for the answer."""

    user_location: UserPlace | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None


class ModerationMode(msgspec.Struct, kw_only=True):
    """What is done with what a moderation model flags."""

    mode: Literal["score", "block"]


class ModerationPolicy(msgspec.Struct, kw_only=True):
    """What is done with flagged input and output."""

    input: ModerationMode | None = None
    output: ModerationMode | None = None


class ModerationOptions(msgspec.Struct, kw_only=True):
    """Has input and output moderated along the way."""

    model: str
    policy: ModerationPolicy | None = None


class PromptCacheOptions(msgspec.Struct, kw_only=True):
    """How long prompts are kept for the next call."""

    mode: Literal["implicit", "explicit"] | None = None
    ttl: Literal["30m"] | None = None


ChatMessage = DeveloperMessage | SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class ChatCompletionRequest(SamplingBody, kw_only=True):
    """A conversation to continue."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: Positive | None = None
    max_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    tools: list[FunctionTool | CustomToolSpec] | None = None
    tool_choice: Literal["none", "auto", "required"] | ThisFunction | ThisCustomTool | TheseTools | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionSpec] | None = None
    function_call: Literal["none", "auto"] | ToolName | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: SpokenForm | None = None
    prediction: Prediction | None = None
    web_search_options: WebSearch | None = None
    moderation: ModerationOptions | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    safety_identifier: Annotated[str, Meta(max_length=64)] | None = None
    prompt: PromptBody | None = None
    """A stored prompt that the conversation begins with; then it may have no messages of its own."""
