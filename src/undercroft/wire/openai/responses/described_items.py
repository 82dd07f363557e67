"""The items of Responses, for `/openapi.json`: messages, calls, reasoning. Any other type is passed on to a provider
that speaks the format."""

from typing import Any, Literal

import msgspec

from undercroft.wire.openai.responses.described_tools import ResponseTool

ItemState = Literal["in_progress", "completed", "incomplete"]


class PromptBreakpoint(msgspec.Struct, kw_only=True):
    """The prompt up to here may be kept for the next call."""

    mode: Literal["explicit"]


class InputText(msgspec.Struct, kw_only=True, tag_field="type", tag="input_text"):
    """Text."""

    text: str
    prompt_cache_breakpoint: PromptBreakpoint | None = None


class InputImage(msgspec.Struct, kw_only=True, tag_field="type", tag="input_image"):
    """An image: its address or bytes as a `data:` URL, or an uploaded file."""

    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] | None = None
    prompt_cache_breakpoint: PromptBreakpoint | None = None


class InputFile(msgspec.Struct, kw_only=True, tag_field="type", tag="input_file"):
    """A file: uploaded, in base64, or its address."""

    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: Literal["auto", "low", "high"] | None = None
    prompt_cache_breakpoint: PromptBreakpoint | None = None


class SpokenInput(msgspec.Struct, kw_only=True):
    """Sound in base64."""

    data: str
    format: Literal["wav", "mp3"]


class InputSound(msgspec.Struct, kw_only=True, tag_field="type", tag="input_audio"):
    """Sound."""

    input_audio: SpokenInput


class FileCitation(msgspec.Struct, kw_only=True, tag_field="type", tag="file_citation"):
    """A file that a passage comes from."""

    file_id: str
    filename: str
    index: int


class WebCitation(msgspec.Struct, kw_only=True, tag_field="type", tag="url_citation"):
    """A page that a passage comes from."""

    url: str
    title: str
    start_index: int
    end_index: int


class ContainerFileCitation(msgspec.Struct, kw_only=True, tag_field="type", tag="container_file_citation"):
    """A file that a program made."""

    container_id: str
    file_id: str
    filename: str
    start_index: int
    end_index: int


class FilePathNote(msgspec.Struct, kw_only=True, tag_field="type", tag="file_path"):
    """A file to fetch."""

    file_id: str
    index: int


class AlternativeToken(msgspec.Struct, kw_only=True):
    """A token that could have stood there."""

    token: str
    logprob: float
    bytes: list[int]


class OutputToken(msgspec.Struct, kw_only=True):
    """A token, how likely it was, and what else could have stood there."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[AlternativeToken]


class SaidText(msgspec.Struct, kw_only=True, tag_field="type", tag="output_text"):
    """What the model says."""

    text: str
    annotations: list[FileCitation | WebCitation | ContainerFileCitation | FilePathNote]
    logprobs: list[OutputToken]


class SaidRefusal(msgspec.Struct, kw_only=True, tag_field="type", tag="refusal"):
    """What the model says when it will not answer."""

    refusal: str


class InputMessage(msgspec.Struct, kw_only=True, tag_field="type", tag="message"):
    """A message of anybody's, also an earlier answer."""

    id: str | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputText | InputImage | InputFile | InputSound | SaidText | SaidRefusal]
    status: ItemState | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class AnswerMessage(msgspec.Struct, kw_only=True, tag_field="type", tag="message"):
    """A message of the model's."""

    id: str
    role: Literal["assistant"]
    content: list[SaidText | SaidRefusal]
    status: ItemState
    phase: Literal["commentary", "final_answer"] | None = None


class ToolCaller(msgspec.Struct, kw_only=True):
    """Who called a tool: the model, or a program that it wrote."""

    type: Literal["direct", "program"]
    caller_id: str | None = None


class FunctionCallItem(msgspec.Struct, kw_only=True, tag_field="type", tag="function_call"):
    """A call of a function that the model wants made; `arguments` is JSON text."""

    call_id: str
    name: str
    arguments: str
    id: str | None = None
    namespace: str | None = None
    status: ItemState | None = None
    caller: ToolCaller | None = None
    created_by: str | None = None


class FunctionOutputItem(msgspec.Struct, kw_only=True, tag_field="type", tag="function_call_output"):
    """What a called function gave back."""

    output: str | list[InputText | InputImage | InputFile]
    call_id: str | None = None
    id: str | None = None
    name: str | None = None
    namespace: str | None = None
    status: ItemState | None = None
    caller: ToolCaller | None = None
    created_by: str | None = None


class CustomCallItem(msgspec.Struct, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """A call of a custom tool that the model wants made."""

    call_id: str
    name: str
    input: str
    id: str | None = None
    namespace: str | None = None
    status: ItemState | None = None
    caller: ToolCaller | None = None


class CustomOutputItem(msgspec.Struct, kw_only=True, tag_field="type", tag="custom_tool_call_output"):
    """What a called custom tool gave back."""

    call_id: str
    output: str | list[InputText | InputImage | InputFile]
    id: str | None = None
    status: ItemState | None = None
    caller: ToolCaller | None = None


class ThoughtSummary(msgspec.Struct, kw_only=True, tag_field="type", tag="summary_text"):
    """A summary of what the model thought."""

    text: str


class Thought(msgspec.Struct, kw_only=True, tag_field="type", tag="reasoning_text"):
    """What the model thought."""

    text: str


class ReasoningItem(msgspec.Struct, kw_only=True, tag_field="type", tag="reasoning"):
    """The model's thinking, to be sent back with what follows from it."""

    id: str
    summary: list[ThoughtSummary]
    content: list[Thought] | None = None
    encrypted_content: str | None = None
    status: ItemState | None = None


class FoundFile(msgspec.Struct, kw_only=True):
    """A passage that was found."""

    file_id: str | None = None
    filename: str | None = None
    text: str | None = None
    score: float | None = None
    attributes: dict[str, str | float | bool] | None = None


class FileSearchItem(msgspec.Struct, kw_only=True, tag_field="type", tag="file_search_call"):
    """A search in vector stores."""

    id: str
    queries: list[str]
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"]
    results: list[FoundFile] | None = None


class WebSource(msgspec.Struct, kw_only=True):
    """A page that was looked at."""

    type: Literal["url"]
    url: str


class WebAction(msgspec.Struct, kw_only=True):
    """What was done on the web."""

    type: Literal["search", "open_page", "find_in_page"]
    query: str | None = None
    queries: list[str] | None = None
    sources: list[WebSource] | None = None
    url: str | None = None
    pattern: str | None = None


class WebSearchItem(msgspec.Struct, kw_only=True, tag_field="type", tag="web_search_call"):
    """A search on the web."""

    id: str
    action: WebAction
    status: Literal["in_progress", "searching", "completed", "failed"]


class SafetyCheck(msgspec.Struct, kw_only=True):
    """Something to be confirmed first."""

    id: str
    code: str | None = None
    message: str | None = None


class ComputerCallItem(msgspec.Struct, kw_only=True, tag_field="type", tag="computer_call"):
    """Something to be done on a computer."""

    id: str
    call_id: str
    action: dict[str, Any] | None = None
    actions: list[dict[str, Any]] | None = None
    pending_safety_checks: list[SafetyCheck]
    status: ItemState


class Screenshot(msgspec.Struct, kw_only=True):
    """What the screen shows."""

    type: Literal["computer_screenshot"]
    image_url: str | None = None
    file_id: str | None = None


class ComputerOutputItem(msgspec.Struct, kw_only=True, tag_field="type", tag="computer_call_output"):
    """What came of it."""

    call_id: str
    output: Screenshot
    id: str | None = None
    acknowledged_safety_checks: list[SafetyCheck] | None = None
    status: Literal["in_progress", "completed", "incomplete", "failed"] | None = None
    created_by: str | None = None


class ToolSearchItem(msgspec.Struct, kw_only=True, tag_field="type", tag="tool_search_call"):
    """A search for tools."""

    arguments: dict[str, Any]
    id: str | None = None
    call_id: str | None = None
    execution: Literal["server", "client"] | None = None
    status: ItemState | None = None
    created_by: str | None = None


class FoundToolsItem(msgspec.Struct, kw_only=True, tag_field="type", tag="tool_search_output"):
    """The tools that were found."""

    tools: list[ResponseTool]
    id: str | None = None
    call_id: str | None = None
    execution: Literal["server", "client"] | None = None
    status: ItemState | None = None
    created_by: str | None = None


class MoreToolsItem(msgspec.Struct, kw_only=True, tag_field="type", tag="additional_tools"):
    """Tools for the rest of the conversation."""

    role: Literal["developer"]
    tools: list[ResponseTool]
    id: str | None = None


class ProgramItem(msgspec.Struct, kw_only=True, tag_field="type", tag="program"):
    """A program that calls tools."""

    id: str
    call_id: str
    code: str
    fingerprint: str


class ProgramOutputItem(msgspec.Struct, kw_only=True, tag_field="type", tag="program_output"):
    """What a program gave back."""

    id: str
    call_id: str
    result: str
    status: Literal["completed", "incomplete"]


class ItemReference(msgspec.Struct, kw_only=True, tag_field="type", tag="item_reference"):
    """An item that the provider keeps."""

    id: str


_Shared = (
    FunctionCallItem
    | FunctionOutputItem
    | CustomCallItem
    | CustomOutputItem
    | ReasoningItem
    | FileSearchItem
    | WebSearchItem
    | ComputerCallItem
    | ComputerOutputItem
    | ToolSearchItem
    | FoundToolsItem
    | MoreToolsItem
    | ProgramItem
    | ProgramOutputItem
)
ResponseInputItem = InputMessage | _Shared | ItemReference
ResponseOutputItem = AnswerMessage | _Shared
