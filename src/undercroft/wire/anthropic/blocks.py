"""Content blocks as a caller writes them, and the parts they become; `writing.py` is the way back."""

from typing import Any

from undercroft.llm.types import Message, Part, ToolCall
from undercroft.wire.anthropic.values import input_text
from undercroft.wire.body import empty_array, invalid, missing, wrong_type

Block = dict[str, Any]


def read_user(blocks: list[Block], where: str) -> list[Message]:
    """A user's turn: the results of tools as messages of their own, then the rest, if there is any."""
    if not blocks:
        raise empty_array(f"{where}.content")
    messages: list[Message] = []
    parts: list[Part] = []
    for position, block in enumerate(blocks):
        place = f"{where}.content[{position}]"
        if _kind(block, place) == "tool_result":
            messages.append(_tool_result(block, place))
        else:
            parts += read_block(block, place)
    if parts:
        messages.append(Message(role="user", content=tuple(parts)))
    return messages


def read_assistant(blocks: list[Block], where: str) -> Message:
    """A model's turn. (Between blocks of text and calls of tools the order is lost; only a source keeps it.)"""
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for position, block in enumerate(blocks):
        place = f"{where}.content[{position}]"
        if _kind(block, place) == "tool_use":
            calls.append(_tool_use(block, place))
        else:
            parts += read_block(block, place)
    return Message(role="assistant", content=tuple(parts) or None, tool_calls=tuple(calls))


def read_system(blocks: list[Block], where: str) -> tuple[Part, ...]:
    """The blocks of a system prompt: text only."""
    parts = []
    for position, block in enumerate(blocks):
        place = f"{where}[{position}]"
        if (kind := _kind(block, place)) != "text":
            raise invalid(f"Invalid value: '{kind}'. A system prompt takes 'text' blocks.", param=f"{place}.type")
        parts.append(_text(block, place))
    return tuple(parts)


def read_block(block: Block, where: str) -> list[Part]:
    """What one block becomes: one part, or several for a document that holds blocks itself."""
    match _kind(block, where):
        case "text":
            return [_text(block, where)]
        case "image":
            return [_image(block, where)]
        case "document":
            return _document(block, where)
        case "search_result":
            return _search_result(block, where)
        case "thinking":
            signature = {"signature": block["signature"]} if isinstance(block.get("signature"), str) else None
            return [Part(type="thinking", text=_string(block, "thinking", where), data=signature)]
        case "redacted_thinking":
            return [Part(type="redacted_thinking", data={"data": _string(block, "data", where)})]
        case kind:  # known to the models that have it: it goes where its like is spoken, as it came
            return [Part(type=kind, data=block, cache_control=_hint(block))]


def _kind(block: Block, where: str) -> str:
    return _string(block, "type", where)


def _string(block: Block, name: str, where: str) -> str:
    if (value := block.get(name)) is None:
        raise missing(f"{where}.{name}")
    if not isinstance(value, str):
        raise wrong_type(f"{where}.{name}", wanted="a string", got=value)
    return value


def _source(block: Block, where: str) -> Block:
    source = block.get("source")
    if source is None:
        raise missing(f"{where}.source")
    if not isinstance(source, dict):
        raise wrong_type(f"{where}.source", wanted="an object", got=source)
    return source


def _hint(block: Block) -> dict[str, Any] | None:
    hint = block.get("cache_control")
    return hint if isinstance(hint, dict) else None


def _text(block: Block, where: str) -> Part:
    return Part(type="text", text=_string(block, "text", where), cache_control=_hint(block))


def _image(block: Block, where: str) -> Part:
    source = _source(block, where)
    place = f"{where}.source"
    match _kind(source, place):
        case "base64":
            url = f"data:{_string(source, 'media_type', place)};base64,{_string(source, 'data', place)}"
        case "url":
            url = _string(source, "url", place)
        case _:  # an uploaded file of Anthropic's
            return Part(type="image", data=block, cache_control=_hint(block))
    return Part(
        type="image_url",
        data={"type": "image_url", "image_url": {"url": url}},
        cache_control=_hint(block),
    )


def _document(block: Block, where: str) -> list[Part]:
    source = _source(block, where)
    place = f"{where}.source"
    title = block.get("title")
    named = title if isinstance(title, str) and title else ""
    match _kind(source, place):
        case "base64":
            url = f"data:{_string(source, 'media_type', place)};base64,{_string(source, 'data', place)}"
            return [_file({"filename": named or "document.pdf", "file_data": url}, block)]
        case "url":
            return [_file({"filename": named or "document.pdf", "file_url": _string(source, "url", place)}, block)]
        case "text":
            return [_passage(_string(source, "data", place), named, block)]
        case "content":
            content = source.get("content")
            if isinstance(content, str):
                return [_passage(content, named, block)]
            if not isinstance(content, list) or not all(isinstance(inner, dict) for inner in content):
                raise wrong_type(f"{place}.content", wanted="one of a string or an array", got=content)
            inner = [read_block(each, f"{place}.content[{position}]") for position, each in enumerate(content)]
            return [part for parts in inner for part in parts]
        case _:
            return [Part(type="document", data=block, cache_control=_hint(block))]


def _file(file: dict[str, str], block: Block) -> Part:
    return Part(type="file", data={"type": "file", "file": file}, cache_control=_hint(block))


def _passage(text: str, title: str, block: Block) -> Part:
    """Text with a name: other formats know only the text."""
    return Part(type="text", text=f"{title}\n\n{text}" if title else text, cache_control=_hint(block))


def _search_result(block: Block, where: str) -> list[Part]:
    content = block.get("content")
    if not isinstance(content, list) or not all(isinstance(inner, dict) for inner in content):
        raise wrong_type(f"{where}.content", wanted="an array", got=content)
    title, source = _string(block, "title", where), _string(block, "source", where)
    texts = [_string(inner, "text", f"{where}.content[{position}]") for position, inner in enumerate(content)]
    return [_passage("\n".join(texts), f"{title} ({source})", block)]


def _tool_use(block: Block, where: str) -> ToolCall:
    if (given := block.get("input")) is None:
        raise missing(f"{where}.input")
    if not isinstance(given, dict):
        raise wrong_type(f"{where}.input", wanted="an object", got=given)
    return ToolCall(
        id=_string(block, "id", where),
        name=_string(block, "name", where),
        arguments=input_text(given),
    )


def _tool_result(block: Block, where: str) -> Message:
    content = block.get("content")
    said: str | tuple[Part, ...]
    if content is None or isinstance(content, str):
        said = content or ""
    elif isinstance(content, list) and all(isinstance(inner, dict) for inner in content):
        parts = [read_block(each, f"{where}.content[{position}]") for position, each in enumerate(content)]
        said = tuple(part for inner in parts for part in inner)
    else:
        raise wrong_type(f"{where}.content", wanted="one of a string or an array", got=content)
    return Message(
        role="tool",
        content=said,
        tool_call_id=_string(block, "tool_use_id", where),
        is_error=block.get("is_error") is True,
    )
