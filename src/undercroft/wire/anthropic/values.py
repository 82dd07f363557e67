"""What requests and answers have in common: why an answer ended, what it used, and the input of a tool."""

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from undercroft.llm.types import Choice, Usage

_encode = msgspec.json.Encoder().encode

FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def finish_reason(stop_reason: str) -> str:
    """Ours for Anthropic's. One that is new has ended the answer all the same."""
    return FINISH_REASONS.get(stop_reason, "stop")


def stop_reason(choice: Choice) -> str:
    """Anthropic's for ours."""
    if choice.finish_reason == "stop" and choice.stop_sequence:
        return "stop_sequence"
    return _STOP_REASONS.get(choice.finish_reason or "stop", "end_turn")


class OutputDetails(msgspec.Struct, kw_only=True):
    """Parts of the answer's tokens."""

    thinking_tokens: int


class AnthropicUsage(msgspec.Struct, kw_only=True):
    """Tokens of one call. Those written to or read from the cache are not part of `input_tokens`."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputDetails | UnsetType = UNSET


def written_usage(usage: Usage) -> AnthropicUsage:
    return AnthropicUsage(
        input_tokens=max(usage.input - usage.cache_read - usage.cache_write, 0),
        cache_creation_input_tokens=usage.cache_write,
        cache_read_input_tokens=usage.cache_read,
        output_tokens=usage.output,
        output_tokens_details=OutputDetails(thinking_tokens=usage.reasoning) if usage.reasoning else UNSET,
    )


def input_text(given: dict[str, Any]) -> str:
    """A tool's input as the JSON text that calls carry."""
    return _encode(given).decode()


def input_of(arguments: str) -> dict[str, Any]:
    """The reverse. Models do not always write an object: what is none goes in as it is, under a name of its own."""
    if not arguments.strip():
        return {}
    try:
        given = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        given = arguments
    return given if isinstance(given, dict) else {"arguments": given}
