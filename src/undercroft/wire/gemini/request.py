"""Writes a chat request for Gemini's generateContent."""

import re
from typing import Any, Final

import msgspec

from undercroft.llm.types import ChatRequest, Sampling, Tool
from undercroft.llm.unsupported import Unsupported
from undercroft.wire.gemini.contents import conversation
from undercroft.wire.untranslated import note_cache_hints, note_untranslated

_encode = msgspec.json.Encoder().encode

_OLDER: Final = re.compile(r"(?:models/)?gemini-[12]\b")
"""Models that know a budget for thinking, and no levels; they do not insist on signatures either."""
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
"""Tokens of thought for OpenAI's efforts, as Google's own OpenAI route has them."""
_LEVELS: Final = {
    "none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH",
    "max": "HIGH",
}  # fmt: skip
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "function": "ANY"}


def encode_request(request: ChatRequest, *, model: str, unsupported: Unsupported) -> bytes:
    """The body; what Gemini cannot do is noted in `unsupported`. Raises InvalidRequest."""
    note_untranslated(request, unsupported)
    note_cache_hints(request, unsupported)
    is_levelled = "gemini-" in model and _OLDER.match(model) is None
    fields = conversation(request.messages, unsupported, demands_signatures=is_levelled)
    fields |= _tools(request, unsupported)
    generation = _sampling(request.sampling, unsupported)
    generation |= _shape(request)
    if (thinking := _thinking(request, is_levelled=is_levelled)) is not None:
        generation["thinkingConfig"] = thinking
    if request.logprobs:
        generation["responseLogprobs"] = True
        if request.top_logprobs:
            generation["logprobs"] = request.top_logprobs
    if generation:
        fields["generationConfig"] = generation
    return _encode(fields)


def _sampling(sampling: Sampling, unsupported: Unsupported) -> dict[str, Any]:
    if sampling.logit_bias:
        unsupported.note("logit_bias")
    fields: dict[str, Any] = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "frequencyPenalty": sampling.frequency_penalty,
        "presencePenalty": sampling.presence_penalty,
        "seed": sampling.seed,
        "stopSequences": list(sampling.stop) or None,
        "maxOutputTokens": sampling.max_tokens,
        "candidateCount": sampling.n if sampling.n != 1 else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _shape(request: ChatRequest) -> dict[str, Any]:
    shape = request.response_format
    if shape.type == "text":
        return {}
    fields: dict[str, Any] = {"responseMimeType": "application/json"}
    if shape.schema is not None:
        fields["responseJsonSchema"] = shape.schema
    return fields


def _thinking(request: ChatRequest, *, is_levelled: bool) -> dict[str, Any] | None:
    """None leaves it to the model's own default."""
    tokens, effort = request.reasoning_tokens, request.reasoning_effort
    if tokens is not None:
        return {"thinkingBudget": tokens, "includeThoughts": tokens != 0}
    if effort is None:
        return None
    told = (
        {"thinkingLevel": _LEVELS.get(effort, "HIGH")} if is_levelled else {"thinkingBudget": _BUDGETS.get(effort, -1)}
    )
    return {**told, "includeThoughts": effort != "none"}


def _tools(request: ChatRequest, unsupported: Unsupported) -> dict[str, Any]:
    choice = request.tool_choice
    declared = [tool for tool in request.tools if _is_function(tool, unsupported)]
    if choice.allowed and choice.mode == "auto":
        declared = [tool for tool in declared if tool.name in choice.allowed]  # Gemini restricts forced calls only
    if not declared:
        return {}
    if request.parallel_tool_calls is False:
        unsupported.note("parallel_tool_calls", why="It may always call several functions at once.")
    fields: dict[str, Any] = {"tools": [{"functionDeclarations": [_declaration(tool) for tool in declared]}]}
    if choice.mode != "auto":
        config: dict[str, Any] = {"mode": _MODES[choice.mode]}
        names = [choice.name] if choice.mode == "function" else list(choice.allowed)
        if names and choice.mode != "none":
            config["allowedFunctionNames"] = names
        fields["toolConfig"] = {"functionCallingConfig": config}
    return fields


def _is_function(tool: Tool, unsupported: Unsupported) -> bool:
    if tool.type == "function":
        return True
    unsupported.note("tools", why=f"Its tools are functions; '{tool.name}' is of type '{tool.type}'.")
    return False


def _declaration(tool: Tool) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    if tool.parameters:
        fields["parametersJsonSchema"] = tool.parameters
    return fields
