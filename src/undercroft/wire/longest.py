"""A request whose caller has set no end to the answer, with one set."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from undercroft.llm.types import ChatRequest, CompletionRequest, Dialect, Source

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode
_NAMES: Final[Mapping[Dialect, str]] = {
    "openai.chat": "max_completion_tokens",
    "openai.completions": "max_tokens",
    "openai.responses": "max_output_tokens",
    "anthropic.messages": "max_tokens",
}

Written = TypeVar("Written", bound=ChatRequest | CompletionRequest)


def at_longest(request: Written, tokens: int) -> Written:
    """The same request for an answer of at most so many tokens, each choice by itself."""
    sampling = replace(request.sampling, max_tokens=tokens)
    return replace(request, sampling=sampling, source=_source(request.source, tokens))


def ended(body: bytes, tokens: int) -> bytes:
    """A plain question of OpenAI's format, in which nothing is said of an end, with the one that `at_longest` sets."""
    return b'%b,"max_completion_tokens":%d}' % (body.rstrip()[:-1], tokens)


def _source(source: Source | None, tokens: int) -> Source | None:
    name = None if source is None else _NAMES.get(source.dialect)
    if source is None or name is None:
        return None
    fields: dict[str, Any] = dict(_fields.decode(source.body))
    fields[name] = tokens
    return replace(source, body=_encode(fields))
