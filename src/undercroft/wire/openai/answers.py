"""The bodies of OpenAI's answers. We write what is not UNSET; the rest is what a provider may add.

`/openapi.json` is made from these types too. Log probabilities are passed on in the shape they came in.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from undercroft.record import Usage


class PromptTokensDetails(msgspec.Struct, kw_only=True):
    """Parts of the prompt's tokens."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int | UnsetType = UNSET
    text_tokens: int | UnsetType = UNSET


class CompletionTokensDetails(msgspec.Struct, kw_only=True):
    """Parts of the answer's tokens."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    text_tokens: int | UnsetType = UNSET


class CompletionUsage(msgspec.Struct, kw_only=True):
    """Tokens of one call."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class CalledFunction(msgspec.Struct, kw_only=True):
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str


class CalledCustom(msgspec.Struct, kw_only=True):
    """A custom tool's name and its free-form input."""

    name: str
    input: str


class FunctionToolCall(msgspec.Struct, kw_only=True, tag_field="type", tag="function"):
    """A call of a function that the model wants made."""

    id: str
    function: CalledFunction


class CustomToolCall(msgspec.Struct, kw_only=True, tag_field="type", tag="custom"):
    """A call of a custom tool that the model wants made."""

    id: str
    custom: CalledCustom


class UrlCitation(msgspec.Struct, kw_only=True):
    """Where a passage of the answer comes from."""

    start_index: int
    end_index: int
    url: str
    title: str


class Annotation(msgspec.Struct, kw_only=True, tag_field="type", tag="url_citation"):
    """A note on a passage of the answer."""

    url_citation: UrlCitation


class SpokenAnswer(msgspec.Struct, kw_only=True):
    """The answer as sound."""

    id: str
    data: str
    expires_at: int
    transcript: str


class TokenAlternative(msgspec.Struct, kw_only=True):
    """A token that could have stood there."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(msgspec.Struct, kw_only=True):
    """A token, how likely it was, and what else could have stood there."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[TokenAlternative]


class ChatLogprobs(msgspec.Struct, kw_only=True):
    """How likely each token was."""

    content: list[TokenLogprob] | None
    refusal: list[TokenLogprob] | None


class ChatAnswerMessage(msgspec.Struct, kw_only=True):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[FunctionToolCall | CustomToolCall] | UnsetType = UNSET
    function_call: CalledFunction | UnsetType = UNSET
    annotations: list[Annotation] | UnsetType = UNSET
    audio: SpokenAnswer | UnsetType | None = UNSET


class ChatAnswerChoice(msgspec.Struct, kw_only=True):
    """One of the answers asked for with `n`."""

    index: int
    message: ChatAnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: str


class ModeratedInput(msgspec.Struct, kw_only=True, tag_field="type", tag="moderation_result"):
    """A moderation model's verdict."""

    model: str
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text", "image"]]]


class Moderated(msgspec.Struct, kw_only=True, tag_field="type", tag="moderation_results"):
    """What was found."""

    model: str
    results: list[ModeratedInput]


class NotModerated(msgspec.Struct, kw_only=True, tag_field="type", tag="error"):
    """Why nothing can be said."""

    code: str
    message: str


class ChatModeration(msgspec.Struct, kw_only=True):
    """Verdicts along the way, from a provider that was asked for them."""

    input: Moderated | NotModerated
    output: Moderated | NotModerated


class ChatCompletion(msgspec.Struct, kw_only=True):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatAnswerChoice]
    usage: CompletionUsage
    system_fingerprint: str | None = None
    service_tier: str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    moderation: ChatModeration | UnsetType | None = UNSET


class CompletionLogprobs(msgspec.Struct, kw_only=True):
    """How likely each token was, as rows of equal length."""

    tokens: list[str] | UnsetType = UNSET
    token_logprobs: list[float | None] | UnsetType = UNSET
    top_logprobs: list[dict[str, float] | None] | UnsetType = UNSET
    text_offset: list[int] | UnsetType = UNSET


class CompletionChoice(msgspec.Struct, kw_only=True):
    """One continuation, or a piece of it."""

    text: str
    index: int
    logprobs: CompletionLogprobs | None
    finish_reason: str | None


class Completion(msgspec.Struct, kw_only=True):
    """Continuations of plain text, whole or (in a stream) piece by piece."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | UnsetType | None = UNSET
    system_fingerprint: str | None = None


class Embedding(msgspec.Struct, kw_only=True):
    """One input's vector: numbers, or base64 of little-endian float32 where that was asked for."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct, kw_only=True):
    """Tokens of one embeddings call."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, kw_only=True):
    """One vector per input, in order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


def completion_usage(usage: Usage) -> CompletionUsage:
    """Usage as chat and completions tell it."""
    return CompletionUsage(
        prompt_tokens=usage.input,
        completion_tokens=usage.output,
        total_tokens=usage.total,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cache_read, cache_write_tokens=usage.cache_write),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=usage.reasoning),
    )
