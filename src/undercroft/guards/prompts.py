"""Guards over requests: every text that a caller sends to a model, in our form and in the caller's own."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from undercroft.guards.guard import Rule, look
from undercroft.llm.types import ChatRequest, CompletionRequest, EmbeddingsRequest, Message, Request, Source

_SPOKEN: Final = frozenset({"messages", "input", "prompt", "system", "instructions"})
"""Where the body of any dialect has what is said."""
_NOT_SPOKEN: Final = frozenset(
    {
        "role", "type", "id", "name", "status", "call_id", "tool_call_id", "tool_use_id", "media_type", "format",
        "signature", "data", "url", "file_data", "file_id", "encrypted_content", "detail",
    }
)  # fmt: skip
"""Fields in there that are no words: names, ids, and what is encoded."""

Change = Callable[[str], str]


def checked(request: Request, rules: Sequence[Rule]) -> tuple[Request, tuple[str, ...]]:
    """The request as it may go on, and what was found in it. Raises Blocked.

    What is to be judged by a moderation model is let through: that is what it is sent for.
    """
    of_texts = [rule for rule in rules if rule.check.longest]
    of_whole = [rule for rule in rules if not rule.check.longest]
    found: list[str] = []
    heard: list[str] = []
    changed = False

    def change(text: str) -> str:
        nonlocal changed
        looked = look(text, of_texts, side="input")
        found.extend(looked.found)
        changed = changed or looked.text != text
        if of_whole:
            heard.append(looked.text)
        return looked.text

    fresh = _mapped(request, change)
    found.extend(look("\n".join(heard), of_whole, side="input").found if of_whole else ())
    if not changed:
        return request, tuple(dict.fromkeys(found))
    if request.source is not None:
        fresh = replace(fresh, source=_rewritten(request.source, lambda text: look(text, of_texts, side="input").text))
    return fresh, tuple(dict.fromkeys(found))


def _mapped(request: Request, change: Change) -> Request:
    match request:
        case ChatRequest():
            return replace(request, messages=tuple(_message(each, change) for each in request.messages))
        case CompletionRequest():
            return replace(request, prompts=_texts(request.prompts, change))
        case EmbeddingsRequest():
            return replace(request, inputs=_texts(request.inputs, change))
        case _:
            return request


def _texts(given: tuple[str | tuple[int, ...], ...], change: Change) -> tuple[str | tuple[int, ...], ...]:
    return tuple(change(each) if isinstance(each, str) else each for each in given)


def _message(message: Message, change: Change) -> Message:
    content = message.content
    if isinstance(content, str):
        content = change(content)
    elif content is not None:
        content = tuple(replace(part, text=change(part.text)) if part.text else part for part in content)
    calls = tuple(replace(call, arguments=change(call.arguments)) for call in message.tool_calls)
    return replace(message, content=content, tool_calls=calls)


def _rewritten(source: Source, change: Change) -> Source:
    body = msgspec.json.decode(source.body)
    if isinstance(body, dict):
        body = {name: _words(value, change) if name in _SPOKEN else value for name, value in body.items()}
    return Source(source.dialect, msgspec.json.encode(body), source.headers)


def _words(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_words(each, change) for each in value]
    if isinstance(value, dict):
        return {name: inner if name in _NOT_SPOKEN else _words(inner, change) for name, inner in value.items()}
    return value
