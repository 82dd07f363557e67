"""`/v1/models` as Anthropic's clients read it: in pages."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, UnsetType

from undercroft.wire.body import invalid

DEFAULT_LIMIT: Final = 20
MOST: Final = 1000


class AnthropicModel(msgspec.Struct, kw_only=True):
    """A model that can be asked for. What is not known of it is left out."""

    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    max_input_tokens: int | UnsetType = UNSET


class AnthropicModels(msgspec.Struct, kw_only=True):
    """A page of models, in the order of the settings."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which page is asked for: so many models after one, or before one."""

    limit: int = DEFAULT_LIMIT
    after_id: str = ""
    before_id: str = ""


_encode = msgspec.json.Encoder().encode


def model(name: str, *, created: int, context_length: Any = None) -> AnthropicModel:
    return AnthropicModel(
        id=name,
        display_name=name,
        created_at=datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        max_input_tokens=context_length if isinstance(context_length, int) else UNSET,
    )


def decode_page(query: bytes) -> Page:
    """The page a query string asks for, or InvalidRequest."""
    fields = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    limit = DEFAULT_LIMIT
    if (asked := fields.get("limit")) is not None:
        if not asked.isascii() or not asked.isdecimal() or not 1 <= int(asked[:6]) <= MOST:
            raise invalid(f"Invalid 'limit': expected an integer from 1 to {MOST}.", param="limit")
        limit = int(asked[:6])
    after, before = fields.get("after_id", ""), fields.get("before_id", "")
    if after and before:
        raise invalid("'after_id' and 'before_id' cannot be used together.", param="before_id")
    return Page(limit=limit, after_id=after, before_id=before)


def encode_page(models: Sequence[AnthropicModel], page: Page) -> bytes:
    """The page; a model that it is to begin or end at must exist."""
    start, end = 0, len(models)
    if page.after_id:
        start = _position(models, page.after_id, "after_id") + 1
        end = min(start + page.limit, len(models))
        has_more = end < len(models)
    elif page.before_id:
        end = _position(models, page.before_id, "before_id")
        start = max(end - page.limit, 0)
        has_more = start > 0
    else:
        end = min(page.limit, len(models))
        has_more = end < len(models)
    data = list(models[start:end])
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return _encode(AnthropicModels(data=data, has_more=has_more, first_id=first, last_id=last))


def encode_one(shown: AnthropicModel) -> bytes:
    return _encode(shown)


def _position(models: Sequence[AnthropicModel], id: str, param: str) -> int:
    for position, each in enumerate(models):
        if each.id == id:
            return position
    raise invalid(f"There is no model '{id}' to page from.", param=param)
