"""Corrects an answer's bytes where a client would trip over them; everything else in them stays as it was."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from undercroft.llm.types import Choice, ToolCallDelta

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_choices = msgspec.json.Decoder(list[dict[str, Any]])


def mended(data: bytes, choices: Sequence[Choice], key: Literal["delta", "message"]) -> bytes:
    """The same piece (or whole answer) with what `choices` say in the places where clients look for it.

    The bytes come back as they are when they say just that already.
    """
    fields: dict[str, Any] = _fields.decode(data)
    raw = _choices.decode(fields["choices"])
    changes = [_mend(body, choice, key) for body, choice in zip(raw, choices, strict=True)]
    if not any(changes):
        return data
    fields["choices"] = raw
    return _encode(fields)


def _mend(body: dict[str, Any], choice: Choice, key: str) -> bool:
    """Changes one choice; says whether anything had to change."""
    changes = _put(body, "index", choice.index)
    if body.get("finish_reason") == "":
        body["finish_reason"] = None
        changes = True
    if not isinstance(body.get(key), dict):
        body[key] = body.pop("message" if key == "delta" else "delta", None) or {}
        changes = True
    said: dict[str, Any] = body[key]
    if isinstance(said.get("content"), list):
        said["content"] = choice.text
        if choice.reasoning:
            said.setdefault("reasoning_content", choice.reasoning)
        changes = True
    calls = said.get("tool_calls")
    if isinstance(calls, list):
        pairs = zip(calls, choice.tool_calls, strict=False)  # a `function_call` comes after them
        mended_calls = [_mend_call(call, told, is_piece=key == "delta") for call, told in pairs]
        changes |= any(mended_calls)
    called = said.get("function_call")
    if isinstance(called, dict) and isinstance(called.get("arguments"), dict):
        called["arguments"] = choice.tool_calls[-1].arguments
        changes = True
    return changes


def _mend_call(call: dict[str, Any], told: ToolCallDelta, *, is_piece: bool) -> bool:
    changes = _put(call, "index", told.index) if is_piece else False
    if told.id is not None:
        changes |= _put(call, "id", told.id)
        changes |= _put(call, "type", told.type)
    elif call.get("id"):  # said before: clients that add strings up would have it twice
        del call["id"]
        changes = True
    called = call.get(told.type)
    if told.type == "function" and isinstance(called, dict):
        if called.get("arguments") != told.arguments and not (is_piece and "arguments" not in called):
            called["arguments"] = told.arguments
            changes = True
        if is_piece and told.name is None and called.get("name"):
            del called["name"]
            changes = True
    return changes


def _put(body: dict[str, Any], name: str, value: object) -> bool:
    if body.get(name) == value and name in body:
        return False
    body[name] = value
    return True
