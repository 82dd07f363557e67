"""Messages and their parts as Anthropic takes them; `blocks.py` is the way back."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from undercroft.llm.types import Content, Message, Part, ToolCall
from undercroft.llm.unsupported import Unsupported
from undercroft.wire.anthropic.values import input_of

Block = dict[str, Any]

_SYSTEM: Final = frozenset({"system", "developer"})
_ODD_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_DATA_URL = re.compile(r"data:(?P<type>[^;,]+)(?:;[^;,]+)*?;base64,(?P<data>.*)", re.DOTALL)
_OWN: Final = frozenset({"image", "document", "server_tool_use", "container_upload", "tool_reference", "compaction"})
"""Blocks that only Anthropic has and that are parts as they came, as do all whose type ends in `_tool_result`."""


def write_messages(messages: Sequence[Message], lost: Unsupported) -> tuple[Any, list[Block]]:
    """The system prompt (None: there is none) and the turns.

    System messages from the middle of a conversation join the others at its top: only the newest models take them
    where they stand. The results of tools become one user's turn together with what the user said next.
    """
    system = [message for message in messages if message.role in _SYSTEM]
    turns: list[Block] = []
    results: list[Block] = []
    for message in messages:
        if message.name is not None and message.role != "tool":
            lost.leave_out("name")
        if message.role in _SYSTEM:
            continue
        if message.role == "tool":
            results.append(_tool_result(message, lost))
            continue
        content = _assistant(message, lost) if message.role == "assistant" else _content(message.content, lost)
        if results and message.role != "assistant":
            turns.append({"role": "user", "content": results + _blocks(content)})
            results = []
            continue
        if results:
            turns.append({"role": "user", "content": results})
            results = []
        if content or message.role != "assistant":  # an assistant's turn with nothing in it is refused
            turns.append({"role": message.role, "content": content})
    if results:
        turns.append({"role": "user", "content": results})
    return _system(system, lost), turns


def _system(messages: Sequence[Message], lost: Unsupported) -> Any:
    if not messages:
        return None
    if len(messages) == 1:
        return _content(messages[0].content, lost) or None
    return [block for message in messages for block in _blocks(_content(message.content, lost))] or None


def _content(content: Content, lost: Unsupported) -> str | list[Block]:
    return content if isinstance(content, str) else write_parts(content or (), lost)


def _blocks(content: str | list[Block]) -> list[Block]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _assistant(message: Message, lost: Unsupported) -> str | list[Block]:
    content = _content(message.content, lost)
    if not message.tool_calls:
        return content
    return _blocks(content) + [_tool_use(call) for call in message.tool_calls]


def _tool_use(call: ToolCall) -> Block:
    given = {"input": call.arguments} if call.type == "custom" else input_of(call.arguments)
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": given}


def _tool_result(message: Message, lost: Unsupported) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id or "")}
    if content := _content(message.content, lost):
        block["content"] = content
    if message.is_error:
        block["is_error"] = True
    return block


def _id(id: str) -> str:
    """Ids of calls come from any provider, Anthropic takes letters, digits, `_` and `-`."""
    return _ODD_IN_ID.sub("_", id) or "call"


def write_parts(parts: Iterable[Part], lost: Unsupported) -> list[Block]:
    blocks = []
    for part in parts:
        block = _part(part, lost)
        if block is not None:
            if part.cache_control is not None and part.type not in ("thinking", "redacted_thinking"):
                block = {**block, "cache_control": part.cache_control}
            blocks.append(block)
    return blocks


def _part(part: Part, lost: Unsupported) -> Block | None:
    data = part.data or {}
    match part.type:
        case "text" | "refusal":
            return {"type": "text", "text": part.text} if part.text else None  # an empty one is refused
        case "image_url":
            return _image(data.get("image_url"), lost)
        case "file":
            return _file(data.get("file"), lost)
        case "thinking":  # without the model's own proof it is refused, and only its own turns need it
            signature = data.get("signature")
            return {"type": "thinking", "thinking": part.text, "signature": signature} if signature else None
        case "redacted_thinking":
            return {"type": "redacted_thinking", "data": data.get("data")}
        case kind if kind in _OWN or kind.endswith("_tool_result"):
            return data
    lost.note("messages", why=f"It does not take '{part.type}' content.")
    return None


def _image(image: Any, lost: Unsupported) -> Block | None:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        lost.note("messages", why="An image without a url cannot be sent.")
        return None
    if isinstance(image, dict) and image.get("detail") not in (None, "auto"):
        lost.leave_out("image_url.detail")
    if found := _DATA_URL.fullmatch(url):
        source = {"type": "base64", "media_type": found["type"], "data": found["data"]}
    else:
        source = {"type": "url", "url": url}
    return {"type": "image", "source": source}


def _file(file: Any, lost: Unsupported) -> Block | None:
    given = file if isinstance(file, dict) else {}
    name, data, url = given.get("filename"), given.get("file_data"), given.get("file_url")
    if isinstance(url, str):
        source = {"type": "url", "url": url}
    elif isinstance(data, str):
        found = _DATA_URL.fullmatch(data)
        kind, content = (found["type"], found["data"]) if found else ("application/pdf", data)
        if kind.startswith("image/"):
            return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": content}}
        source = {"type": "base64", "media_type": kind, "data": content}
    else:
        lost.note("messages", why="Files by id belong to the provider they were uploaded to: send file_data.")
        return None
    block: Block = {"type": "document", "source": source}
    if isinstance(name, str) and name:
        block["title"] = name
    return block
