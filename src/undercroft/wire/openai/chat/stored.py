"""Chat completions that were kept: how they are asked for, and how they are told."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from undercroft.errors import InvalidRequest
from undercroft.wire.body import read
from undercroft.wire.openai.answers import (
    Annotation,
    CalledFunction,
    ChatCompletion,
    CustomToolCall,
    FunctionToolCall,
    SpokenAnswer,
)
from undercroft.wire.openai.sampling import Metadata
from undercroft.wire.query import pairs_of, read_pairs


class Identity(msgspec.Struct):
    """What a caller knows an answer by, read from the answer itself. Some providers leave parts of it out."""

    id: str | None = None
    model: str | None = None
    created: float | None = None


class Page(msgspec.Struct, kw_only=True):
    """Which of them to list."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "asc"
    model: str | None = None


class StoredChatUpdate(msgspec.Struct, kw_only=True):
    """The labels that replace the old ones."""

    metadata: Metadata | None


class StoredChatList(msgspec.Struct, kw_only=True):
    """Some of the kept completions."""

    object: Literal["list"] = "list"
    data: list[ChatCompletion]
    first_id: str | None
    last_id: str | None
    has_more: bool


class StoredMessage(msgspec.Struct, kw_only=True):
    """A message of the conversation that was continued. Content of several parts stands in `content_parts`."""

    id: str
    role: str
    content: str | None
    refusal: str | None
    name: str | None
    content_parts: list[dict[str, Any]] | None
    tool_calls: list[FunctionToolCall | CustomToolCall] | UnsetType | None = UNSET
    function_call: CalledFunction | UnsetType | None = UNSET
    annotations: list[Annotation] | UnsetType | None = UNSET
    audio: SpokenAnswer | UnsetType | None = UNSET


class StoredMessageList(msgspec.Struct, kw_only=True):
    """Some of a kept completion's messages."""

    object: Literal["list"] = "list"
    data: list[StoredMessage]
    first_id: str | None
    last_id: str | None
    has_more: bool


class StoredChatDeleted(msgspec.Struct, kw_only=True):
    """It is gone."""

    object: Literal["chat.completion.deleted"] = "chat.completion.deleted"
    id: str
    deleted: bool = True


_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_identity = msgspec.json.Decoder(Identity)
_update = msgspec.json.Decoder(StoredChatUpdate)
_messages = msgspec.json.Decoder(list[dict[str, Any]])


def identity(body: bytes) -> Identity:
    """Of an answer, or of an event of its stream."""
    return _identity.decode(body)


def messages_of(body: bytes) -> bytes:
    """The messages of a chat request, as they were written."""
    return bytes(_fields.decode(body)["messages"])


def spoken(written: bytes) -> list[tuple[str, str]]:
    """Role and text of each message; nothing where a conversation holds more than texts."""
    turns = []
    for each in _messages.decode(written):
        content, role = each.get("content"), each.get("role")
        if isinstance(content, list) and all(part.get("type") == "text" for part in content):
            content = "".join(part["text"] for part in content)
        if not isinstance(content, str) or role not in ("system", "developer", "user", "assistant"):
            return []
        turns.append((role, content))
    return turns


def said(answer: bytes) -> str:
    """The text of an answer's first choice."""
    choices = msgspec.json.decode(answer).get("choices") or [{}]
    return str(choices[0].get("message", {}).get("content") or "")


def decode_update(body: bytes) -> dict[str, str]:
    return read(_update, body).metadata or {}


def decode_page(query: bytes) -> tuple[Page, dict[str, str]]:
    """Which completions are wanted, and with which labels (`metadata[name]=value`). Raises InvalidRequest."""
    pairs = pairs_of(query)
    labels = {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in pairs
        if name.startswith("metadata[") and name.endswith("]")
    }
    return read_pairs(pairs, Page), labels


def one(answer: bytes, metadata: dict[str, str]) -> bytes:
    """A kept completion with the labels it has now."""
    return _encode({**_fields.decode(answer), "metadata": metadata})


def many(found: Sequence[tuple[str, bytes]], *, has_more: bool) -> bytes:
    """Ids and bodies as a page."""
    ids = [each for each, _ in found]
    return _page([msgspec.Raw(body) for _, body in found], ids, has_more=has_more)


def messages(id: str, written: bytes, page: Page) -> bytes:
    """A page of the messages, each with an id made of the completion's and its place."""
    all_of_them = [_message(f"{id}-{place}", fields) for place, fields in enumerate(_messages.decode(written))]
    if page.order == "desc":
        all_of_them.reverse()
    if page.after is not None:
        ids = [message["id"] for message in all_of_them]
        if page.after not in ids:
            raise unknown_cursor(page.after)
        all_of_them = all_of_them[ids.index(page.after) + 1 :]
    shown = all_of_them[: page.limit]
    return _page(shown, [message["id"] for message in shown], has_more=len(all_of_them) > len(shown))


def deleted(id: str) -> bytes:
    return _encode(StoredChatDeleted(id=id))


def unknown_cursor(after: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid 'after': nothing here has the id '{after}'.", code="invalid_value", param="after")


def _page(data: list[Any], ids: list[str], *, has_more: bool) -> bytes:
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return _encode({"object": "list", "data": data, **ends, "has_more": has_more})


def _message(id: str, fields: dict[str, Any]) -> dict[str, Any]:
    content = fields.get("content")
    is_parts = isinstance(content, list)
    blank = {"refusal": None, "name": None}
    told = {"id": id, "content": None if is_parts else content, "content_parts": content if is_parts else None}
    return {**blank, **fields, **told}
