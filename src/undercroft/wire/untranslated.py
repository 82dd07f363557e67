"""Finds what a request says in words of its own format alone, on its way to a provider of another."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from undercroft.llm.types import ChatRequest, Dialect, Source
from undercroft.llm.unsupported import Unsupported

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = msgspec.json.Decoder()


class Terms(NamedTuple):
    """The top level of one format's requests. What stands in neither of these is a hint, or unknown."""

    read: frozenset[str]
    """Fields that a request here has a place for, and labels that change nothing of an answer."""
    demands: Mapping[str, tuple[object, ...]]
    """Fields that an answer is wrong without, with the values that ask for nothing."""


CHAT: Final = Terms(
    read=frozenset(
        {
            "model", "messages", "temperature", "top_p", "frequency_penalty", "presence_penalty", "logit_bias", "seed",
            "stop", "n", "stream", "stream_options", "user", "max_tokens", "max_completion_tokens", "logprobs",
            "top_logprobs", "response_format", "tools", "tool_choice", "parallel_tool_calls", "functions",
            "function_call", "reasoning_effort", "safety_identifier", "store", "metadata", "prompt",
            "prompt_cache_key", "prompt_cache_retention", "service_tier",
        }
    ),
    demands={"modalities": (["text"], []), "web_search_options": (), "moderation": ()},
)  # fmt: skip
MESSAGES: Final = Terms(
    read=frozenset(
        {
            "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format",
            "max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "prompt",
            "service_tier",
        }
    ),
    demands={"mcp_servers": ([],), "container": (), "inference_geo": ()},
)  # fmt: skip
RESPONSES: Final = Terms(
    read=frozenset(
        {
            "model", "input", "instructions", "previous_response_id", "conversation", "prompt", "store", "stream",
            "stream_options", "background", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning",
            "include", "truncation", "max_output_tokens", "max_tool_calls", "metadata", "temperature", "top_p",
            "presence_penalty", "frequency_penalty", "top_logprobs", "service_tier", "user", "safety_identifier",
            "prompt_cache_key", "prompt_cache_retention",
        }
    ),
    demands={"moderation": ()},
)  # fmt: skip

_SPOKEN: Final[Mapping[Dialect, Terms]] = {"openai.chat": CHAT, "anthropic.messages": MESSAGES}
"""Requests for a response have lost their own words (`responses.portable`) before they get to another's provider."""


def note_untranslated(request: ChatRequest, unsupported: Unsupported) -> None:
    """Notes what a provider of another format is not told. Raises InvalidRequest for what was not to be left out."""
    source = request.source
    if source is not None and (terms := _SPOKEN.get(source.dialect)) is not None:
        note_fields(source, terms, unsupported)


def note_fields(source: Source, terms: Terms, unsupported: Unsupported) -> None:
    """A demand is refused, or left out and told, as the operator chose; a hint is left out and told."""
    for name, written in _fields.decode(source.body).items():
        if name in terms.read or bytes(written) == b"null":
            continue
        if name not in terms.demands:
            unsupported.leave_out(name)
        elif _value.decode(written) not in terms.demands[name]:
            unsupported.note(name)


def note_cache_hints(request: ChatRequest, unsupported: Unsupported) -> None:
    """For providers that cannot be told how much of a prompt is worth keeping."""
    parts = [part for message in request.messages if isinstance(message.content, tuple) for part in message.content]
    hints = [part.cache_control for part in parts] + [tool.cache_control for tool in request.tools]
    if any(hint is not None for hint in hints):
        unsupported.leave_out("cache_control")
