"""Reads a caller's JSON body into a typed value, or says in OpenAI's words what is wrong with it."""

import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from undercroft.errors import InvalidRequest

T = TypeVar("T")

_EXPLAINED_BYTES: Final = 256 * 1024
"""A larger body is not decoded a second time to quote the value that was wrong."""

_PLACED = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_SURPLUS = re.compile(r"Object contains unknown field `(?P<field>[^`]+)`")
_TYPE = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`")
_RANGE = re.compile(r"Expected `(?P<type>int|float)` (?P<sign><=|>=) (?P<bound>\S+)")
_LENGTH = re.compile(r"Expected `(?P<type>array|str|object)` of length (?P<sign><=|>=) (?P<bound>\d+)")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")

_NAMES: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a decimal",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_RANGED: Final = {"int": "integer", "float": "decimal"}
_SIZED: Final = {"array": "array", "str": "string", "object": "object"}
_UNKNOWN: Final = object()


def read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The typed value, or InvalidRequest. Numbers that are no JSON, lone surrogates and bottomless nesting included."""
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look inside the strings of fields it skips
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _explained(error, body) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable() from error


def missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def surplus(param: str) -> InvalidRequest:
    param = _short(param)
    return InvalidRequest(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def wrong_type(param: str, *, wanted: str, got: object) -> InvalidRequest:
    """`wanted` with its article: `a string`."""
    return InvalidRequest(
        f"Invalid type for '{param}': expected {wanted}, but got {_named(got)} instead.",
        code="invalid_type",
        param=param,
    )


def unsupported(param: str, *, got: str, supported: Iterable[str]) -> InvalidRequest:
    *most, last = (f"'{value}'" for value in supported)
    listed = f"{', '.join(most)}{',' if len(most) > 1 else ''} and {last}" if most else last
    return InvalidRequest(
        f"Invalid value: '{_short(got)}'. Supported values are: {listed}.", code="invalid_value", param=param
    )


def _short(text: str) -> str:
    return text if len(text) <= 64 else f"{text[:64]}…"


def invalid(message: str, *, param: str, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(message, code=code, param=param)


def too_long(param: str, *, maximum: int, got: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': array too long. Expected an array with maximum length {maximum}, "
        f"but got an array with length {got} instead.",
        code="array_above_max_length",
        param=param,
    )


def empty_array(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        code="empty_array",
        param=param,
    )


def unreadable() -> InvalidRequest:
    """What was sent is no JSON."""
    return InvalidRequest(
        "We could not parse the JSON body of your request.",
        code="invalid_json",
        hint="It must be one JSON object in UTF-8, without NaN, Infinity or unpaired surrogates.",
    )


def _explained(error: msgspec.ValidationError, body: bytes) -> InvalidRequest:
    if len(body) > _EXPLAINED_BYTES:
        return refusal(error, _UNKNOWN)
    try:
        return refusal(error, msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return unreadable()  # the first mistake was of type, a later one makes it no JSON at all


def refusal(error: msgspec.ValidationError, fields: object) -> InvalidRequest:
    """Translates msgspec's sentence; the value itself is looked up in `fields` for those that quote it."""
    placed = _PLACED.fullmatch(str(error))
    what, path = (placed["what"], placed["path"] or "") if placed else (str(error), "")
    if placed and placed["key"]:
        fields = _UNKNOWN  # it is a name inside the object at `path` that is wrong, and msgspec does not say which
    inside = f"{path}." if path else ""
    if found := _MISSING.fullmatch(what):
        return missing(inside + found["field"])
    if found := _SURPLUS.fullmatch(what):
        return surplus(inside + found["field"])
    if found := _TYPE.fullmatch(what):
        return _explained_type(path, found)
    if found := _RANGE.fullmatch(what):
        return _explained_range(path, found, _look_up(fields, path))
    if found := _LENGTH.fullmatch(what):
        return _explained_length(path, found, _look_up(fields, path))
    where = f" for '{path}'" if path else ""
    return invalid(f"Invalid value{where}: {what}.", param=path)


def _explained_type(path: str, found: re.Match[str]) -> InvalidRequest:
    names = [_NAMES.get(name, name) for name in found["wanted"].split(" | ") if name != "null"]
    wanted = names[0] if len(names) == 1 else f"one of {' or '.join(names)}"
    got = _NAMES.get(found["got"], found["got"])
    where = f" for '{path}'" if path else ""
    wanted = wanted if path else f"{wanted} as the body"
    return InvalidRequest(
        f"Invalid type{where}: expected {wanted}, but got {got} instead.", code="invalid_type", param=path or None
    )


def _explained_range(path: str, found: re.Match[str], value: object) -> InvalidRequest:
    kind, is_above = _RANGED[found["type"]], found["sign"] == "<="
    bound = found["bound"].removesuffix(".0")
    got = "" if value is _UNKNOWN else f", but got {value} instead"
    return InvalidRequest(
        f"Invalid '{path}': {kind} {'above maximum' if is_above else 'below minimum'} value. "
        f"Expected a value {found['sign']} {bound}{got}.",
        code=f"{kind}_{'above_max' if is_above else 'below_min'}_value",
        param=path,
    )


def _explained_length(path: str, found: re.Match[str], value: object) -> InvalidRequest:
    kind, bound = _SIZED[found["type"]], int(found["bound"])
    article = "an" if kind[0] in "ao" else "a"
    length = len(value) if isinstance(value, str | list | dict) else None
    got = "" if length is None else f", but got {article} {kind} with length {length} instead"
    if found["sign"] == "<=":
        return InvalidRequest(
            f"Invalid '{path}': {kind} too long. Expected {article} {kind} with maximum length {bound}{got}.",
            code=f"{kind}_above_max_length",
            param=path,
        )
    if kind == "array" and bound == 1:
        return empty_array(path)
    return InvalidRequest(
        f"Invalid '{path}': {kind} too short. Expected {article} {kind} with minimum length {bound}{got}.",
        code=f"empty_{kind}" if bound == 1 else f"{kind}_below_min_length",
        param=path,
    )


def _look_up(value: Any, path: str) -> object:
    if "[...]" in path:  # msgspec does not say which key of an open-ended object
        return _UNKNOWN
    for index, key in _STEP.findall(path):
        try:
            value = value[int(index) if index else key]
        except (LookupError, TypeError):
            return _UNKNOWN
    return value


def _named(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "an array"
    return _NAMES.get(type(value).__name__, "an object")
