"""From a Responses request's items to the turns of a conversation.

What only a provider of this format understands (its own tools' calls, references to what it keeps) becomes a part of
type FOREIGN: such a provider gets it with the request's own bytes, for any other it is left out or refused.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from undercroft.llm.types import Content, Message, Part, ToolCall
from undercroft.wire.body import missing, unsupported, wrong_type

Item = dict[str, Any]

FOREIGN: Final = "openai.item"
PREVIOUS: Final = "openai.previous_response"
SIGNATURE: Final = "undercroft-signature:"
"""Before the proof of a model's reasoning that was made elsewhere: `encrypted_content` holds OpenAI's own too."""

_ROLES: Final = ("user", "assistant", "system", "developer")
_encode = msgspec.json.Encoder().encode


def messages_of(items: Sequence[Item]) -> tuple[Message, ...]:
    """The turns; calls that follow one another belong to one. Raises InvalidRequest in OpenAI's words."""
    turns: list[Message] = []
    for position, item in enumerate(items):
        turn = _turn(item, f"input[{position}]")
        if turn is None:
            continue
        if turns and turn.role == turns[-1].role == "assistant" and _may_join(turns[-1], turn):
            turns[-1] = _joined(turns[-1], turn)
        else:
            turns.append(turn)
    return tuple(turns)


def previous(response_id: str) -> Message:
    """Stands for a conversation that is not kept here but, perhaps, with a provider."""
    return Message(role="user", content=(Part(type=PREVIOUS, data={"id": response_id}),))


def _turn(item: Item, where: str) -> Message | None:
    kind = item.get("type", "message" if "role" in item else None)
    if kind is None:
        raise missing(f"{where}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{where}.type", wanted="a string", got=kind)
    match kind:
        case "message":
            return _message(item, where)
        case "function_call":
            return _assistant_call(item, "arguments", where)
        case "custom_tool_call":
            return _assistant_call(item, "input", where)
        case "function_call_output" | "custom_tool_call_output":
            call_id = _text(item, "call_id", where)
            return Message(role="tool", tool_call_id=call_id, content=_content(item, "output", where))
        case "reasoning":
            return _reasoning(item)
        case "file_search_call":  # what came of it is in the answer that follows
            return None
        case _:
            return Message(role="assistant", content=(_foreign(kind, where),))


def _message(item: Item, where: str) -> Message:
    role = _text(item, "role", where)
    if role not in _ROLES:
        raise unsupported(f"{where}.role", got=role, supported=_ROLES)
    return Message(role=role, content=_content(item, "content", where))


def _assistant_call(item: Item, said: str, where: str) -> Message:
    call = ToolCall(
        id=_text(item, "call_id", where),
        name=_text(item, "name", where),
        arguments=_text(item, said, where),
        type="custom" if said == "input" else "function",
    )
    return Message(role="assistant", tool_calls=(call,))


def _reasoning(item: Item) -> Message | None:
    """Only with its proof is earlier reasoning of use to a model, and only to the one that wrote it."""
    proof = item.get("encrypted_content")
    if not isinstance(proof, str) or not proof.startswith(SIGNATURE):
        return None
    content = item.get("content")
    texts = [part.get("text") for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    text = "".join(text for text in texts if isinstance(text, str))
    signature = proof.removeprefix(SIGNATURE)
    return Message(role="assistant", content=(Part(type="thinking", text=text, data={"signature": signature}),))


def _content(item: Item, name: str, where: str) -> Content:
    said = item.get(name)
    if said is None:
        raise missing(f"{where}.{name}")
    if isinstance(said, str):
        return said
    if not isinstance(said, list):
        raise wrong_type(f"{where}.{name}", wanted="one of a string or an array", got=said)
    parts = [_part(part, f"{where}.{name}[{position}]") for position, part in enumerate(said)]
    if all(part.type == "text" for part in parts):
        return "".join(part.text for part in parts) if len(parts) == 1 else tuple(parts)
    return tuple(parts)


def _part(part: Any, where: str) -> Part:
    if not isinstance(part, dict):
        raise wrong_type(where, wanted="an object", got=part)
    kind = _text(part, "type", where)
    match kind:
        case "input_text" | "output_text" | "text":
            return Part(type="text", text=_text(part, "text", where))
        case "refusal":
            return Part(type="refusal", text=_text(part, "refusal", where))
        case "input_image" if isinstance(part.get("image_url"), str):
            detail = {"detail": part["detail"]} if isinstance(part.get("detail"), str) else {}
            return Part(type="image_url", data={"type": "image_url", "image_url": {"url": part["image_url"], **detail}})
        case "input_audio" if isinstance(part.get("input_audio"), dict):
            return Part(type="input_audio", data={"type": "input_audio", "input_audio": part["input_audio"]})
        case "input_file" if part.get("file_data") is not None or part.get("file_id") is not None:
            file = {name: part[name] for name in ("file_id", "file_data", "filename") if part.get(name) is not None}
            return Part(type="file", data={"type": "file", "file": file})
        case _:
            return _foreign(kind, where)


def _foreign(kind: str, where: str) -> Part:
    return Part(type=FOREIGN, data={"kind": kind, "where": where})


def _text(item: Item, name: str, where: str) -> str:
    value = item.get(name)
    if value is None:
        raise missing(f"{where}.{name}")
    if not isinstance(value, str):
        raise wrong_type(f"{where}.{name}", wanted="a string", got=value)
    return value


def _may_join(earlier: Message, later: Message) -> bool:
    """What a model says in one breath: reasoning, words, then calls. Two texts stay two turns."""
    return later.content is None or (not earlier.tool_calls and _is_only_thought(earlier.content))


def _is_only_thought(content: Content) -> bool:
    return isinstance(content, tuple) and all(part.type in ("thinking", FOREIGN) for part in content)


def _joined(earlier: Message, later: Message) -> Message:
    content = earlier.content
    if later.content is not None:
        content = (*_parts(content), *_parts(later.content))
    return msgspec.structs.replace(earlier, content=content, tool_calls=earlier.tool_calls + later.tool_calls)


def _parts(content: Content) -> tuple[Part, ...]:
    return (Part(type="text", text=content),) if isinstance(content, str) else content or ()


def spoken(items: Sequence[Item]) -> list[tuple[str, str]]:
    """Role and text of each turn; nothing where a conversation holds more than texts. Raises InvalidRequest."""
    turns = []
    for message in messages_of(items):
        parts = _parts(message.content)
        if message.tool_calls or not parts or any(part.type != "text" for part in parts):
            return []
        turns.append((message.role, "".join(part.text for part in parts)))
    return turns


INPUT_PLACES: Final = 0x800
"""Ids of input items begin here; those of the output at 0."""


def listed(items: Sequence[Item], suffix: str) -> list[Item]:
    """The items as `input_items` lists them: each with an id (the same each time) and messages in their long form."""
    return [_listed(item, f"{suffix}{INPUT_PLACES + position:03x}") for position, item in enumerate(items)]


def _listed(item: Item, suffix: str) -> Item:
    kind = item.get("type", "message")
    shown = {"id": f"{_PREFIXES.get(kind, 'item_')}{suffix}", "type": kind, "status": "completed", **item}
    if isinstance(content := item.get("content"), str) and kind == "message":
        text_kind = "output_text" if item.get("role") == "assistant" else "input_text"
        extra: Item = {"annotations": [], "logprobs": []} if text_kind == "output_text" else {}
        shown["content"] = [{"type": text_kind, "text": content, **extra}]
    return shown


_PREFIXES: Final = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "reasoning": "rs_",
}
