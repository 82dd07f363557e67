"""Tables as the text of `undercroft.toml`."""

import json
from collections.abc import Iterator, Mapping, Sequence

Value = str | int | float | bool | Sequence[str] | Mapping[str, "Value"]
Table = dict[str, Value]


def section(head: str, table: Mapping[str, Value]) -> Iterator[str]:
    """The lines of `[head]` or `[[head]]` with its values, and an empty one after it."""
    yield head
    for name, value in table.items():
        yield f"{name} = {written(value)}"
    yield ""


def written(value: Value) -> str:
    """A value; texts as TOML's basic strings, which escape as JSON does (but for one character)."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {written(each)}" for name, each in value.items()) + " }"
    return "[" + ", ".join(map(written, value)) + "]"


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if is_bare else json.dumps(name, ensure_ascii=False)
