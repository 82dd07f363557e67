"""Writes a conversation as Gemini's contents: two roles in turns, everything else a part of one of them."""

import mimetypes
import re
from typing import Any, Final

import msgspec

from undercroft.llm.types import Content, Message, Part, ToolCall
from undercroft.llm.unsupported import Unsupported

NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""What Google documents for a call in the history whose proof of thought is lost: OpenAI's chat has no place for it."""

_INSTRUCTING: Final = frozenset({"system", "developer"})
_DATA_URL: Final = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,(.*)", re.DOTALL)
_AUDIO_TYPES: Final = {"mp3": "audio/mp3", "wav": "audio/wav"}
_GUESSED_IMAGE: Final = "image/jpeg"

_decode = msgspec.json.decode


def conversation(
    messages: tuple[Message, ...], unsupported: Unsupported, *, demands_signatures: bool
) -> dict[str, Any]:
    """`contents`, and `systemInstruction` where there is one."""
    writer = _Writer(unsupported, demands_signatures=demands_signatures)
    for message in messages:
        writer.add(message)
    instructions = writer.instructions
    if not writer.contents:  # Gemini answers nobody who says nothing
        return {"contents": [{"role": "user", "parts": instructions}]}
    fields: dict[str, Any] = {"contents": writer.contents}
    if instructions:
        fields["systemInstruction"] = {"parts": instructions}
    return fields


class _Writer:
    """Puts messages into turns: neighbours of one role become one, so that parallel results answer one turn."""

    def __init__(self, unsupported: Unsupported, *, demands_signatures: bool) -> None:
        self.contents: list[dict[str, Any]] = []
        self.instructions: list[dict[str, Any]] = []
        self._unsupported = unsupported
        self._demands_signatures = demands_signatures
        self._called: dict[str, str] = {}
        """Names by id of the calls so far: a result must say its function's."""

    def add(self, message: Message) -> None:
        if message.role in _INSTRUCTING:
            self.instructions += self._parts(message.content)
        elif message.role == "tool":
            self._put("user", [self._result(message)])
        elif message.role == "assistant":
            self._put("model", self._said(message))
        else:
            self._put("user", self._parts(message.content))

    def _put(self, role: str, parts: list[dict[str, Any]]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})

    def _said(self, message: Message) -> list[dict[str, Any]]:
        parts = self._parts(message.content)
        calls = [self._call(call) for call in message.tool_calls]
        proof = _signature(message.content)
        if calls:
            # The first call of a step carries the proof; of parallel ones the others have none.
            proof = proof or (NO_SIGNATURE if self._demands_signatures else None)
            if proof is not None:
                calls[0]["thoughtSignature"] = proof
        elif proof is not None and parts:
            parts[-1]["thoughtSignature"] = proof
        return parts + calls

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._called[call.id] = call.name
        arguments = _as_object(call.arguments, key="input" if call.type == "custom" else "arguments")
        return {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}

    def _result(self, message: Message) -> dict[str, Any]:
        call_id = message.tool_call_id or ""
        name = self._called.get(call_id) or message.name or call_id
        if isinstance(message.content, tuple) and any(part.type != "text" for part in message.content):
            self._unsupported.note("messages", why="A tool's result is text.")
        key = "error" if message.is_error else "output"
        return {"functionResponse": {"id": call_id, "name": name, "response": _as_object(message.text(), key=key)}}

    def _parts(self, content: Content) -> list[dict[str, Any]]:
        if content is None or isinstance(content, str):
            return [{"text": content}] if content else []
        return [written for part in content if (written := self._part(part)) is not None]

    def _part(self, part: Part) -> dict[str, Any] | None:
        data = part.data or {}
        match part.type:
            case "text" | "refusal":
                return {"text": part.text} if part.text else None
            case "thinking" | "redacted_thinking":
                return None  # only its proof goes back
            case "image_url":
                if written := _media(_inner(data, "image_url").get("url"), default=_GUESSED_IMAGE):
                    return written
            case "input_audio":
                audio = _inner(data, "input_audio")
                form = str(audio.get("format", ""))
                return {"inlineData": {"mimeType": _AUDIO_TYPES.get(form, f"audio/{form}"), "data": audio.get("data")}}
            case "file":
                file = _inner(data, "file")
                for place in (file.get("file_data"), file.get("file_url"), file.get("file_id")):
                    if written := _media(place, default="application/pdf"):
                        return written
        self._unsupported.note(
            "messages", why=f"A part of type '{part.type}' that can be sent here is data or an https address."
        )
        return None


def _inner(data: dict[str, Any], key: str) -> dict[str, Any]:
    inner = data.get(key)
    return inner if isinstance(inner, dict) else {}


def _media(place: object, *, default: str) -> dict[str, Any] | None:
    """Data goes along, an address (of Google's file store, or a public one) is named."""
    if not isinstance(place, str):
        return None
    if found := _DATA_URL.fullmatch(place):
        return {"inlineData": {"mimeType": found[1] or default, "data": found[2]}}
    if place.startswith(("https://", "gs://")):
        kind = mimetypes.guess_type(place.partition("?")[0])[0]
        return {"fileData": {"mimeType": kind or default, "fileUri": place}}
    return None


def _signature(content: Content) -> str | None:
    """The model's proof of its thought, as it came back from the caller."""
    if not isinstance(content, tuple):
        return None
    proofs = [part.data.get("signature") for part in content if part.type == "thinking" and part.data]
    return next((proof for proof in reversed(proofs) if isinstance(proof, str) and proof), None)


def _as_object(text: str, *, key: str) -> dict[str, Any]:
    """JSON objects as they are; anything else under a key, for objects are all that Gemini takes here."""
    try:
        value = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {key: text}
    if isinstance(value, dict) and key != "error":
        return value
    return {key: value if isinstance(value, dict | list) else text}
