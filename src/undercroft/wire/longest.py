"""A request whose caller has set no end to the answer, with one set."""

from typing import TypeVar

from msgspec.structs import replace

from undercroft.llm.types import ChatRequest, CompletionRequest
from undercroft.wire.restated import restated

Written = TypeVar("Written", bound=ChatRequest | CompletionRequest)


def at_longest(request: Written, tokens: int) -> Written:
    """The same request for an answer of at most so many tokens, each choice by itself."""
    sampling = replace(request.sampling, max_tokens=tokens)
    return replace(request, sampling=sampling, source=restated(request.source, {"max_tokens": tokens}))


def ended(body: bytes, tokens: int) -> bytes:
    """A plain question of OpenAI's format, in which nothing is said of an end, with the one that `at_longest` sets."""
    return b'%b,"max_completion_tokens":%d}' % (body.rstrip()[:-1], tokens)
