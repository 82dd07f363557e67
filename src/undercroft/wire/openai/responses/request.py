"""Reads a Responses request, and continues the conversation it refers to."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Message, PromptUse, Sampling, Source
from undercroft.wire.body import invalid, missing, read
from undercroft.wire.openai.responses.items import Item, messages_of, previous
from undercroft.wire.openai.responses.tools import FormatBody, read_choice, read_format, read_tools
from undercroft.wire.openai.sampling import Penalty, Positive
from undercroft.wire.prompts import PromptBody, prompt_use

LOGPROBS: Final = "message.output_text.logprobs"
PROVIDERS_PROMPT: Final = "pmpt_"
"""How the ids of prompts begin that OpenAI keeps; all others are names of ours."""


class ReasoningBody(msgspec.Struct, kw_only=True):
    """How much a model is to think, and what it is to tell of it."""

    effort: str | None = None
    summary: str | None = None


class TextBody(msgspec.Struct, kw_only=True):
    """What the answer's text is to be like."""

    format: FormatBody | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ResponsesBody(msgspec.Struct, kw_only=True):
    """The fields of a request that undercroft reads; all others ride along in its source."""

    model: str | None = None
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: dict[str, Any] | None = None
    store: bool | None = None
    stream: bool | None = None
    background: bool | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=512)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextBody | None = None
    reasoning: ReasoningBody | None = None
    include: list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Positive | None = None
    metadata: Annotated[dict[str, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Meta(max_length=64)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None

    @property
    def items(self) -> list[Item]:
        """The request's own input."""
        if isinstance(self.input, str):
            return [{"role": "user", "content": self.input}]
        return self.input or []

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.top_logprobs) or LOGPROBS in (self.include or ())


class Turn(msgspec.Struct, frozen=True):
    """One earlier request of a conversation with its answer, as they were stored."""

    input: list[Item]
    output: list[Item]
    is_relayed: bool
    """The answer came from a provider of this format, so its items' ids mean something there."""


class Asked(msgspec.Struct, frozen=True):
    """A request that was read, and the bytes it came in."""

    body: ResponsesBody
    source: bytes


_decoder = msgspec.json.Decoder(ResponsesBody)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> Asked:
    """What was asked, or InvalidRequest in OpenAI's words; the conversation it continues is not looked at yet."""
    asked = read(_decoder, body)
    if asked.conversation is not None:
        raise InvalidRequest(
            "Conversations are not kept here.",
            code="unsupported_parameter",
            param="conversation",
            hint="Continue a response with previous_response_id, or send the earlier items in 'input'.",
        )
    if asked.prompt is not None and "id" not in asked.prompt and "name" in asked.prompt:
        asked.prompt = {"id": asked.prompt["name"], **asked.prompt}  # as the format tells of it
    if asked.input is None and asked.prompt is None and asked.previous_response_id is None:
        raise missing("input")
    if asked.background and asked.store is False:
        raise invalid("A background response must be stored: 'store' cannot be false.", param="background")
    return Asked(asked, body)


def request_of(asked: Asked, turns: Sequence[Turn] | None) -> ChatRequest:
    """The conversation to continue: `turns`, oldest first, then the request's own input. Raises InvalidRequest.

    A `previous_response_id` is ours when `turns` are given: they take its place in the source too, since a provider may
    know nothing of it (another deployment, another provider, or one that stores nothing). Without `turns` it is passed
    on with the source, in case that the provider does know it.
    """
    body = asked.body
    earlier = [item for turn in turns or () for item in (*turn.input, *turn.output)]
    messages = messages_of(body.items) if not earlier else messages_of([*earlier, *body.items])
    head: list[Message] = []
    if body.instructions:
        head.append(Message(role="system", content=body.instructions))
    if body.previous_response_id is not None and turns is None:
        head.append(previous(body.previous_response_id))
    tools = read_tools(body.tools) if body.tools else ()
    text, reasoning = body.text, body.reasoning
    return ChatRequest(
        model=body.model or "",
        messages=(*head, *messages),
        sampling=Sampling(
            temperature=body.temperature,
            top_p=body.top_p,
            frequency_penalty=body.frequency_penalty,
            presence_penalty=body.presence_penalty,
            max_tokens=body.max_output_tokens,
        ),
        stream=bool(body.stream or body.background),
        logprobs=body.wants_logprobs,
        top_logprobs=body.top_logprobs if body.wants_logprobs else None,
        response_format=read_format(text.format if text else None),
        tools=tools,
        tool_choice=read_choice(body.tool_choice, tools),
        parallel_tool_calls=body.parallel_tool_calls,
        reasoning_effort=reasoning.effort if reasoning else None,
        metadata=dict(body.metadata) if body.metadata else None,
        end_user=body.user or body.safety_identifier or "",
        source=Source("openai.responses", _continued(asked, turns)),
        prompt=_own_prompt(body.prompt),
    )


def _own_prompt(asked: dict[str, Any] | None) -> PromptUse | None:
    """None for one that a provider keeps. Raises InvalidRequest."""
    if asked is None or str(asked.get("id", "")).startswith(PROVIDERS_PROMPT):
        return None
    try:
        return prompt_use(msgspec.convert(asked, PromptBody))
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid value for 'prompt': {error}.", param="prompt") from error


def _continued(asked: Asked, turns: Sequence[Turn] | None) -> bytes:
    """The caller's own bytes where nothing of ours is in them; else without what we do ourselves."""
    if turns is None and not asked.body.background:
        return asked.source
    fields: dict[str, Any] = dict(_fields.decode(asked.source))
    if fields.pop("background", None) is not None and asked.body.background:
        fields["stream"] = True  # a silent hour would look like a provider that hangs
    if turns is not None:
        del fields["previous_response_id"]
        fields["input"] = [*(item for turn in turns for item in _sendable(turn)), *asked.body.items]
    return _encode(fields)


def _sendable(turn: Turn) -> list[Item]:
    """An earlier turn for a provider of this format: it would look for ids of ours in vain."""
    if turn.is_relayed:
        return [*turn.input, *turn.output]
    ours = [
        {name: value for name, value in item.items() if name not in ("id", "status")}
        for item in turn.output
        if item.get("type") != "reasoning"
    ]
    return [*turn.input, *ours]
