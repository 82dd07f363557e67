"""Makes a request in OpenAI's format one that a service with quirks takes; what cannot be said to it is noted."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from undercroft.llm.types import ChatRequest, Message, Part
from undercroft.llm.unsupported import Unsupported
from undercroft.settings.presets import Quirks
from undercroft.wire.untranslated import note_cache_hints, note_untranslated

_NEUTRAL: Final[Mapping[str, object]] = {
    "n": 1,
    "logprobs": False,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "parallel_tool_calls": True,
}
"""What a field says when it asks for nothing; so does null."""

_EXTENSIONS: Final = ("top_k",)
"""Fields that are not OpenAI's and that a request of another format may bring along."""

_messages = msgspec.json.Decoder(list[dict[str, Any]])


class Adaptation:
    """Fits one request to the service it goes to."""

    __slots__ = ("_quirks", "_unsupported")

    def __init__(self, quirks: Quirks, unsupported: Unsupported) -> None:
        self._quirks = quirks
        self._unsupported = unsupported

    @property
    def dropped(self) -> tuple[str, ...]:
        """What was left out, to be told."""
        return tuple(self._unsupported.names)

    def portable(self, request: ChatRequest) -> ChatRequest:
        """A request without what only its own format has words for. Raises InvalidRequest."""
        if request.reasoning_tokens:
            self._unsupported.leave_out("thinking")
        if request.source is None or request.source.dialect == "openai.chat":
            return request
        note_untranslated(request, self._unsupported)
        note_cache_hints(request, self._unsupported)
        messages = [kept for message in request.messages if (kept := self._portable(message)) is not None]
        return msgspec.structs.replace(request, messages=tuple(messages))

    def _portable(self, message: Message) -> Message | None:
        content = message.content
        if content is None or isinstance(content, str) or all(_is_spoken(part) for part in content):
            return message
        for part in content:
            if not _is_spoken(part):
                self._unsupported.note("messages", why=f"It does not take this '{part.type}' content.")
        kept = tuple(part for part in content if _is_spoken(part))
        if not kept and message.role != "tool" and not message.tool_calls:
            return None
        return msgspec.structs.replace(message, content=kept or None)

    def apply(self, fields: dict[str, Any]) -> None:
        """Changes the request's top level, whose values may be unread JSON. Raises InvalidRequest."""
        quirks = self._quirks
        for name in _EXTENSIONS:
            if name in fields and name not in quirks.extras and not isinstance(fields[name], msgspec.Raw):
                self._unsupported.leave_out(name)
                del fields[name]
        for name in quirks.labels & fields.keys():
            del fields[name]
        for name in sorted(quirks.lacks & fields.keys()):
            self._leave_out(fields, name)
        if not quirks.stream_options:
            fields.pop("stream_options", None)
        if not quirks.json_schema and _type_of(fields.get("response_format")) == "json_schema":
            self._unsupported.note("response_format", why="It has no JSON schemas, only 'json_object'.")
            del fields["response_format"]
        for name in quirks.renames.keys() & fields.keys():
            fields[quirks.renames[name]] = fields.pop(name)
        if not quirks.developer and "messages" in fields:
            fields["messages"] = _without_developer(fields["messages"])

    def _leave_out(self, fields: dict[str, Any], name: str) -> None:
        value = _read(fields.pop(name))
        if value is not None and value != _NEUTRAL.get(name, _UNSET):
            self._unsupported.note(name)


_UNSET: Final = object()
_PARTS: Final = frozenset({"text", "refusal", "image_url", "input_audio", "thinking", "redacted_thinking"})
"""Thoughts are left out where messages are written."""


def _is_spoken(part: Part) -> bool:
    if part.type == "file":
        file = (part.data or {}).get("file")
        return not (isinstance(file, dict) and "file_url" in file)
    return part.type in _PARTS


def _read(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


def _type_of(value: Any) -> object:
    read = _read(value)
    return read.get("type") if isinstance(read, dict) else None


def _without_developer(messages: Any) -> Any:
    if isinstance(messages, msgspec.Raw):
        if b"developer" not in bytes(messages):
            return messages
        messages = _messages.decode(messages)
    return [{**message, "role": "system"} if message.get("role") == "developer" else message for message in messages]
