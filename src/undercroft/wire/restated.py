"""A caller's own bytes with some of what they say said otherwise: all else in them goes on as it came."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from undercroft.llm.types import Dialect, Source

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode

_OPENAI: Final = {
    name: name for name in ("temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty")
}
_NAMES: Final[Mapping[Dialect, Mapping[str, str]]] = {
    "openai.chat": {**_OPENAI, "max_tokens": "max_completion_tokens", "reasoning_effort": "reasoning_effort"},
    "openai.completions": {**_OPENAI, "max_tokens": "max_tokens"},
    "openai.responses": {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens"},
    "anthropic.messages": {
        "temperature": "temperature", "top_p": "top_p", "max_tokens": "max_tokens", "stop": "stop_sequences",
    },
}  # fmt: skip
"""What fields of `Sampling`, and `reasoning_effort`, are called in each format; others have no such field."""
_FORMER: Final[Mapping[str, str]] = {"max_completion_tokens": "max_tokens"}
"""An older name of the same, which must not stay beside it."""


def restated(source: Source | None, given: Mapping[str, Any]) -> Source | None:
    """`given` by our names. None where the format cannot say one of them: then all is to be written anew."""
    names = _NAMES.get(source.dialect, {}) if source is not None else {}
    if source is None or not given.keys() <= names.keys():
        return None
    if source.dialect == "anthropic.messages" and given.get("temperature", 0) > 1:  # whoever writes it anew says so
        return None
    fields: dict[str, Any] = dict(_fields.decode(source.body))
    for name, value in given.items():
        fields.pop(_FORMER.get(names[name], ""), None)
        fields[names[name]] = value
    return replace(source, body=_encode(fields))
