"""Between undercroft's requests and chunks and the runtime's dicts, which look like OpenAI's but not quite."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from undercroft.errors import InvalidRequest, UndercroftError, UpstreamGarbled, UpstreamOverloaded
from undercroft.llm.types import (
    COMPLETION_TOKENS,
    ChatRequest,
    Choice,
    CompletionRequest,
    Message,
    ResponseFormat,
    Sampling,
    Tool,
    ToolCall,
    Usage,
)
from undercroft.providers.local import schemas, tools

DEFAULT_SYSTEM_PROMPT = "Answer in English, briefly and correctly."
"""Without one, a model of 135M answers nonsense; with a temperature above 0 it wanders."""

_ALWAYS = {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
"""Every answer is streamed inside: only a callback can stop the runtime, also between two pieces of a long prompt."""

_SEEDS = 2**32 - 1
"""The runtime's seeds are 32 bits wide, and the highest means "random"."""


def chat_body(
    request: ChatRequest, called: Sequence[Tool], *, system_prompt: str | None, choice: int = 0
) -> dict[str, Any]:
    """What the runtime is asked for one choice; `called` are the tools that may be called now."""
    messages = _messages(request.messages)
    body = _ALWAYS | _sampling(request.sampling, choice)
    if system_prompt is not None and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system_prompt})
        body.setdefault("temperature", 0.0)
    if called:
        may_answer = request.tool_choice.mode == "auto"
        _tell(messages, tools.instructions(called, may_answer=may_answer))
        answer = _schema(request.response_format)
        body["response_format"] = _held_to(tools.answer_schema(called, may_answer=may_answer, answer=answer))
    else:
        if request.response_format.type == "json_object":
            body["response_format"] = {"type": "json_object"}
        elif (schema := _schema(request.response_format)) is not None:
            body["response_format"] = _held_to(schema)
        if request.logprobs:
            # The runtime takes 0 for "its default", which is 20.
            body |= {"logprobs": True, "top_logprobs": max(1, request.top_logprobs or 0)}
    return body | {"messages": messages}


def completion_body(request: CompletionRequest, prompt: str | tuple[int, ...], *, choice: int = 0) -> dict[str, Any]:
    """What the runtime is asked for one choice of one prompt."""
    if request.echo:
        raise InvalidRequest("The local model does not echo prompts.", param="echo")
    if request.suffix:
        raise InvalidRequest("The local model cannot fill in before a suffix.", param="suffix")
    if not prompt:
        raise InvalidRequest("The prompt is empty.", param="prompt")
    body = {"max_tokens": COMPLETION_TOKENS} | _ALWAYS | _sampling(request.sampling, choice)
    if request.logprobs is not None:
        body["logprobs"] = max(1, request.logprobs)
    return body | {"prompt": prompt if isinstance(prompt, str) else list(prompt)}


def usable_tools(called: Sequence[Tool]) -> tuple[Tool, ...]:
    """The tools with parameters the runtime can be held to. Raises InvalidRequest."""
    return tuple(
        msgspec.structs.replace(
            tool, parameters=schemas.usable(tool.parameters, strict=tool.strict, param=f"tools[{index}]")
        )
        for index, tool in enumerate(called)
    )


def chat_choice(piece: Mapping[str, Any], index: int, *, top_logprobs: int) -> Choice | None:
    """What a piece adds to a choice; None for one that adds nothing (progress of reading, usage)."""
    if not piece.get("choices") or "prompt_progress" in piece:
        return None
    said = piece["choices"][0]
    delta = said["delta"]
    logprobs = said.get("logprobs")
    return Choice(
        index=index,
        role=delta.get("role"),
        text=delta.get("content") or "",
        reasoning=delta.get("reasoning_content") or "",
        finish_reason=said["finish_reason"],
        logprobs=_chat_logprobs(logprobs["content"], top_logprobs) if logprobs else None,
    )


def completion_choice(piece: Mapping[str, Any], index: int, *, logprobs: int | None, offset: int) -> Choice | None:
    """The same for a continuation; `offset` is the length of the text so far."""
    if not piece.get("choices") or "prompt_progress" in piece:
        return None
    said = piece["choices"][0]
    told = said.get("logprobs") if logprobs is not None else None
    return Choice(
        index=index,
        text=said["text"],
        finish_reason=said["finish_reason"],
        logprobs=_completion_logprobs(told["content"], logprobs or 0, offset) if told else None,
    )


def usage_of(piece: Mapping[str, Any]) -> Usage | None:
    """The tokens of one choice, told with its last piece."""
    told = piece.get("usage")
    if told is None:
        return None
    cached = told.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    return Usage(input=told["prompt_tokens"], output=told["completion_tokens"], cache_read=cached)


def told_error(error: Mapping[str, Any], *, param: str) -> UndercroftError:
    """An error the runtime reported, in our words."""
    message = str(error.get("message", "no reason given"))
    if error.get("type") == "exceed_context_size_error":
        return InvalidRequest(
            f"This model's maximum context length is {error.get('n_ctx')} tokens, "
            f"the prompt has {error.get('n_prompt_tokens')}.",
            code="context_length_exceeded",
            param=param,
        )
    if error.get("code") == 400:
        return InvalidRequest(f"The local model refused the request: {message}")
    if "grammar" in message:
        return InvalidRequest("No text can satisfy the schema.", param="response_format")
    return UpstreamOverloaded(f"The local model failed: {message}")


def raised_error(error: BaseException) -> UndercroftError:
    """An exception out of the runtime, in our words."""
    message = str(error).rpartition("Automatic parser generation failed: ")[2]
    # A schema it cannot use; text that is no Unicode, which its JSON library may call a TypeError.
    if isinstance(error, ValueError | RuntimeError) or (isinstance(error, TypeError) and "UTF-8" in message):
        return InvalidRequest(f"The local model cannot use the request: {message}")
    return UpstreamGarbled(f"The local model failed: {type(error).__name__}: {message}")


def _messages(turns: Sequence[Message]) -> list[dict[str, str]]:
    if not turns:
        raise InvalidRequest("There is no message to answer.", param="messages")
    calls = {call.id: call for turn in turns for call in turn.tool_calls}
    return [_message(turn, place, calls) for place, turn in enumerate(turns) if turn.text() or not turn.tool_calls]


def _message(turn: Message, place: int, calls: Mapping[str, ToolCall]) -> dict[str, str]:
    if not isinstance(turn.content, str | None):
        for number, part in enumerate(turn.content):
            if part.type not in ("text", "refusal"):
                raise InvalidRequest(
                    f"The local model reads only text; this part is '{part.type}'.",
                    param=f"messages[{place}].content[{number}]",
                )
    if turn.role in ("tool", "function"):
        return {"role": "user", "content": tools.result_text(turn, calls)}
    return {"role": "system" if turn.role == "developer" else turn.role, "content": turn.text()}


def _tell(messages: list[dict[str, str]], what: str) -> None:
    if messages[0]["role"] == "system":
        messages[0] = {"role": "system", "content": f"{messages[0]['content']}\n\n{what}"}
    else:
        messages.insert(0, {"role": "system", "content": what})


def _sampling(sampling: Sampling, choice: int) -> dict[str, Any]:
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        raise InvalidRequest("The local model writes at least one token.", param="max_tokens")
    given: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "logit_bias": sampling.logit_bias,
        "seed": None if sampling.seed is None else (sampling.seed + choice) % _SEEDS,
        "stop": [text for text in sampling.stop if text] or None,
        "max_tokens": None if sampling.max_tokens is None else min(sampling.max_tokens, 2**31 - 1),
    }
    return {name: value for name, value in given.items() if value is not None}


def _schema(wanted: ResponseFormat) -> dict[str, Any] | None:
    if wanted.type != "json_schema" or wanted.schema is None:
        return None
    return schemas.usable(wanted.schema, strict=wanted.strict, param="response_format")


def _held_to(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _token(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": entry["token"], "bytes": entry["bytes"], "logprob": entry["logprob"]}


def _chat_logprobs(entries: Sequence[Mapping[str, Any]], top: int) -> dict[str, Any]:
    content = [_token(entry) | {"top_logprobs": list(map(_token, entry["top_logprobs"][:top]))} for entry in entries]
    return {"content": content, "refusal": None}


def _completion_logprobs(entries: Sequence[Mapping[str, Any]], top: int, offset: int) -> dict[str, Any]:
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry["token"])
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [{each["token"]: each["logprob"] for each in entry["top_logprobs"][:top]} for entry in entries],
        "text_offset": offsets,
    }
