"""Reads a chat completions stream as a client that forgives nothing, and adds it up as OpenAI's SDKs do."""

from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass
class Read:
    """What a client has in the end."""

    texts: dict[int, str] = field(default_factory=dict)
    reasoning: dict[int, str] = field(default_factory=dict)
    calls: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    finish: dict[int, str] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    is_done: bool = False
    extras: dict[str, Any] = field(default_factory=dict)
    """Fields of any chunk that are not OpenAI's."""


_KNOWN = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}


def read_stream(stream: bytes, *, include_usage: bool) -> Read:
    """Raises AssertionError where the stream is not what the format promises."""
    read = Read()
    assert stream.endswith(b"\n\n"), f"it stops inside an event: {stream[-60:]!r}"
    for frame in stream.removesuffix(b"\n\n").split(b"\n\n"):
        assert frame.startswith(b"data: "), f"no event: {frame[:80]!r}"
        assert read.error is None, "something follows the error"
        assert not read.is_done, "something follows [DONE]"
        payload = b"\n".join(line.removeprefix(b"data: ") for line in frame.split(b"\n"))
        if payload == b"[DONE]":
            read.is_done = True
            continue
        fields = msgspec.json.decode(payload)
        if "error" in fields:
            read.error = fields["error"]
            continue
        assert fields["object"] in ("chat.completion.chunk", "chat.completion"), payload
        read.extras |= {name: value for name, value in fields.items() if name not in _KNOWN}
        _read_chunk(read, fields, include_usage=include_usage)
    return read


def _read_chunk(read: Read, fields: dict[str, Any], *, include_usage: bool) -> None:
    choices = fields["choices"]
    assert isinstance(choices, list), f"choices are {choices!r}"
    if not choices:
        assert include_usage, "a chunk without choices came unasked"
        assert read.usage is None, "usage came twice"
        read.usage = fields["usage"]
        assert isinstance(read.usage, dict), "a chunk without choices has no usage"
        return
    assert fields.get("usage") is None, "usage stands beside choices"
    assert read.usage is None, "a choice follows the usage"
    for choice in choices:
        _read_choice(read, choice)


def _read_choice(read: Read, choice: dict[str, Any]) -> None:
    index, delta, reason = choice["index"], choice["delta"], choice.get("finish_reason")
    assert type(index) is int, f"index is {index!r}"
    assert isinstance(delta, dict), f"delta is {delta!r}"
    content = delta.get("content")
    assert content is None or isinstance(content, str), f"content is {content!r}"
    assert not (content and index in read.finish), "text follows the finish reason"
    read.texts[index] = read.texts.get(index, "") + (content or "")
    for name in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(thought := delta.get(name), str):
            read.reasoning[index] = read.reasoning.get(index, "") + thought
            break
    for call in delta.get("tool_calls") or ():
        _read_call(read, index, call)
    assert reason is None or (isinstance(reason, str) and reason), f"finish_reason is {reason!r}"
    if reason is not None:
        read.finish[index] = reason


def _read_call(read: Read, choice: int, call: dict[str, Any]) -> None:
    assert type(call["index"]) is int, f"a call's index is {call['index']!r}"
    function = call.get("function") or {}
    known = read.calls.get((choice, call["index"]))
    if known is None:
        assert call["id"], "a call begins without id"
        assert function["name"], "a call begins without name"
        assert call["type"] == "function", f"its type is {call['type']!r}"
        known = read.calls[choice, call["index"]] = {"id": "", "name": "", "arguments": ""}
    for key, piece in (
        ("id", call.get("id")),
        ("name", function.get("name")),
        ("arguments", function.get("arguments")),
    ):
        assert piece is None or isinstance(piece, str), f"{key} is {piece!r}"
        known[key] += piece or ""
