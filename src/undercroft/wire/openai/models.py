"""`/v1/models`: what may be asked for."""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class Model(msgspec.Struct, kw_only=True):
    """A model that can be asked for. What OpenAI's own list lacks is left out where it is not known."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    description: str | UnsetType = UNSET
    context_length: int | UnsetType = UNSET
    quality: str | UnsetType = UNSET
    """A label such as `demo`, so that nobody takes the bundled model for a large one."""
    shutdown_date: str | UnsetType = UNSET


class Models(msgspec.Struct, kw_only=True):
    """Every model, in the order of the settings."""

    object: Literal["list"] = "list"
    data: list[Model]


class ModelDeleted(msgspec.Struct, kw_only=True):
    """It is gone."""

    id: str
    object: Literal["model"] = "model"
    deleted: bool


_encode = msgspec.json.Encoder().encode


def encode_list(models: Iterable[Model]) -> bytes:
    return _encode(Models(data=list(models)))


def encode_one(model: Model) -> bytes:
    return _encode(model)
