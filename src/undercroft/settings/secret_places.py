"""Where secrets are wanted, read from the types: a JSON Schema says it too, and takes longer to make than the rest of
a start."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from undercroft.settings.locate import Place
from undercroft.settings.model import Settings


def is_secret(place: Place) -> bool:
    """Whether what is written there is a secret; False also where there is no such setting."""
    wanted: Any = Settings
    for step in place:
        wanted = _inside(wanted, step)
    return wanted is SecretStr


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
