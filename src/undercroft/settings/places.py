"""What is wanted where, read from the types: a JSON Schema says it too, and takes longer to make than the rest of
reading the settings."""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from undercroft.settings.locate import Place
from undercroft.settings.model import Settings

Kind = Literal["boolean", "integer", "number", "string", "array", "object"]
"""A type in JSON Schema's words."""
_KINDS: Final[Mapping[Any, Kind]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Path: "string",
    SecretStr: "string",
    tuple: "array",
    dict: "object",
    Mapping: "object",
}


def is_secret(place: Place) -> bool:
    """Whether what is written there is a secret; False also where there is no such setting."""
    return _wanted(place) is SecretStr


def kind_at(place: Place) -> Kind | None:
    """What is written there; None where there is no such setting."""
    wanted = _wanted(place)
    if get_origin(wanted) is Literal:
        wanted = type(get_args(wanted)[0])
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return "object"
    return _KINDS.get(get_origin(wanted) or wanted)


def _wanted(place: Place) -> Any:
    wanted: Any = Settings
    for step in place:
        wanted = _inside(wanted, step)
    return wanted


def _inside(table: Any, step: str | int) -> Any:
    """What stands under one key, or in a list; None where there is nothing."""
    inner: Any = None
    if isinstance(table, type) and issubclass(table, BaseModel):
        field = table.model_fields.get(str(step))
        inner = field.annotation if field is not None else None
    elif get_origin(table) is tuple and isinstance(step, int):
        inner = get_args(table)[0]
    elif get_origin(table) in (dict, Mapping):
        inner = get_args(table)[1]
    return _bare(inner)


def _bare(annotation: Any) -> Any:
    """Without its bounds, and without the None that stands for "not set"."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        (*_, last) = [option for option in get_args(annotation) if option is not NoneType]
        return _bare(last)
    return annotation
