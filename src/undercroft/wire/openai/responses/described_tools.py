"""The tools of Responses in full, for `/openapi.json`. Functions and custom tools work with every model; the others are
their provider's own, and reach one that speaks the format."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Callers = list[Literal["direct", "programmatic"]]


class ResponseFunctionTool(msgspec.Struct, kw_only=True, tag_field="type", tag="function"):
    """A function the model may call; `parameters` is its JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: Callers | None = None
    output_schema: dict[str, Any] | None = None


class AnyText(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """Anything."""


class GrammarFormat(msgspec.Struct, kw_only=True, tag_field="type", tag="grammar"):
    """What a grammar allows."""

    definition: str
    syntax: Literal["lark", "regex"]


class ResponseCustomTool(msgspec.Struct, kw_only=True, tag_field="type", tag="custom"):
    """A tool that takes free-form input."""

    name: str
    description: str | None = None
    format: AnyText | GrammarFormat | None = None
    defer_loading: bool | None = None
    allowed_callers: Callers | None = None


class AttributeComparison(msgspec.Struct, kw_only=True):
    """Holds when a file's attribute compares like this, or when its parts do (`and`, `or`)."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"]
    key: str | None = None
    value: str | float | bool | list[str | float] | None = None
    filters: "list[AttributeComparison] | None" = None


class HybridWeights(msgspec.Struct, kw_only=True):
    """How meaning and words weigh against each other."""

    embedding_weight: float
    text_weight: float


class FileRanking(msgspec.Struct, kw_only=True):
    """How what is found is ranked."""

    ranker: Literal["auto", "default-2024-11-15"] | None = None
    score_threshold: float | None = None
    hybrid_search: HybridWeights | None = None


class FileSearchTool(msgspec.Struct, kw_only=True, tag_field="type", tag="file_search"):
    """Search in vector stores."""

    vector_store_ids: list[str]
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    filters: AttributeComparison | None = None
    ranking_options: FileRanking | None = None


class Whereabouts(msgspec.Struct, kw_only=True, tag_field="type", tag="approximate"):
    """Roughly where the user is."""

    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class SearchedDomains(msgspec.Struct, kw_only=True):
    """Where to search."""

    allowed_domains: list[str] | None = None


class WebSearchTool(msgspec.Struct, kw_only=True, tag_field="type", tag="web_search"):
    """Search on the web."""

    filters: SearchedDomains | None = None
    user_location: Whereabouts | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    external_web_access: bool | None = None


class WebSearchPreviewTool(msgspec.Struct, kw_only=True, tag_field="type", tag="web_search_preview"):
    """Search on the web, in its older form."""

    user_location: Whereabouts | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    search_content_types: list[Literal["text", "image"]] | None = None


class McpToolFilter(msgspec.Struct, kw_only=True):
    """Some of a server's tools."""

    tool_names: list[str] | None = None
    read_only: bool | None = None


class McpApproval(msgspec.Struct, kw_only=True):
    """Which tools are called only after a yes."""

    always: McpToolFilter | None = None
    never: McpToolFilter | None = None


class McpTool(msgspec.Struct, kw_only=True, tag_field="type", tag="mcp"):
    """The tools of an MCP server."""

    server_label: str
    server_url: str | None = None
    server_description: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    authorization: str | None = None
    headers: dict[str, str] | None = None
    allowed_tools: list[str] | McpToolFilter | None = None
    require_approval: str | McpApproval | None = None
    defer_loading: bool | None = None
    allowed_callers: Callers | None = None


class AutoContainer(msgspec.Struct, kw_only=True, tag_field="type", tag="auto"):
    """A container that is made for the call."""

    file_ids: list[str] | None = None
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None
    network_policy: dict[str, Any] | None = None


class CodeInterpreterTool(msgspec.Struct, kw_only=True, tag_field="type", tag="code_interpreter"):
    """Programs that the model writes and runs."""

    container: str | AutoContainer
    allowed_callers: Callers | None = None


class ImageMask(msgspec.Struct, kw_only=True):
    """What of an image is to change."""

    image_url: str | None = None
    file_id: str | None = None


class ImageGenerationTool(msgspec.Struct, kw_only=True, tag_field="type", tag="image_generation"):
    """Images that the model has made."""

    model: str | None = None
    quality: Literal["low", "medium", "high", "auto"] | None = None
    size: str | None = None
    output_format: Literal["png", "webp", "jpeg"] | None = None
    output_compression: int | None = None
    moderation: Literal["auto", "low"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    input_fidelity: Literal["high", "low"] | None = None
    input_image_mask: ImageMask | None = None
    partial_images: int | None = None
    action: Literal["generate", "edit", "auto"] | None = None


class ComputerTool(msgspec.Struct, kw_only=True, tag_field="type", tag="computer"):
    """A computer that the model uses."""


class ComputerPreviewTool(msgspec.Struct, kw_only=True, tag_field="type", tag="computer_use_preview"):
    """The same in its older form."""

    environment: str
    display_width: int
    display_height: int


class LocalShellTool(msgspec.Struct, kw_only=True, tag_field="type", tag="local_shell"):
    """A shell at the caller's."""


class ShellTool(msgspec.Struct, kw_only=True, tag_field="type", tag="shell"):
    """A shell."""

    environment: dict[str, Any] | None = None
    allowed_callers: Callers | None = None


class ApplyPatchTool(msgspec.Struct, kw_only=True, tag_field="type", tag="apply_patch"):
    """Changes to files."""

    allowed_callers: Callers | None = None


class ProgrammaticTool(msgspec.Struct, kw_only=True, tag_field="type", tag="programmatic_tool_calling"):
    """Tools that a program of the model's calls."""


class NamespaceTool(msgspec.Struct, kw_only=True, tag_field="type", tag="namespace"):
    """Tools under a common name."""

    name: str
    description: str
    tools: list[ResponseFunctionTool | ResponseCustomTool]


class ToolSearchTool(msgspec.Struct, kw_only=True, tag_field="type", tag="tool_search"):
    """Tools that are loaded when they are wanted."""

    execution: Literal["server", "client"] | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


ResponseTool = (
    ResponseFunctionTool
    | ResponseCustomTool
    | FileSearchTool
    | WebSearchTool
    | WebSearchPreviewTool
    | McpTool
    | CodeInterpreterTool
    | ImageGenerationTool
    | ComputerTool
    | ComputerPreviewTool
    | LocalShellTool
    | ShellTool
    | ApplyPatchTool
    | ProgrammaticTool
    | NamespaceTool
    | ToolSearchTool
)


class AllowedResponseTools(msgspec.Struct, kw_only=True, tag_field="type", tag="allowed_tools"):
    """Only these tools may be called."""

    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class ThisResponseFunction(msgspec.Struct, kw_only=True, tag_field="type", tag="function"):
    """This function must be called."""

    name: str


class ThisResponseCustomTool(msgspec.Struct, kw_only=True, tag_field="type", tag="custom"):
    """This custom tool must be called."""

    name: str


class ThisMcpTool(msgspec.Struct, kw_only=True, tag_field="type", tag="mcp"):
    """A tool of this MCP server must be called."""

    server_label: str
    name: str | None = None


class _Hosted(msgspec.Struct, kw_only=True, tag_field="type"):
    """The provider's own tool of this type must be called."""


class UseFileSearch(_Hosted, tag="file_search"):
    """Files must be searched."""


class UseWebSearch(_Hosted, tag="web_search_preview"):
    """The web must be searched."""


class UseComputer(_Hosted, tag="computer"):
    """The computer must be used."""


class UseImageGeneration(_Hosted, tag="image_generation"):
    """An image must be made."""


class UseCodeInterpreter(_Hosted, tag="code_interpreter"):
    """A program must be run."""


ResponseToolChoice = (
    Literal["none", "auto", "required"]
    | AllowedResponseTools
    | ThisResponseFunction
    | ThisResponseCustomTool
    | ThisMcpTool
    | UseFileSearch
    | UseWebSearch
    | UseComputer
    | UseImageGeneration
    | UseCodeInterpreter
)
