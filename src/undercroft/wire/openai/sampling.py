"""What chat and completions requests have in common: how to pick tokens, and how to stream."""

from typing import Annotated

import msgspec
from msgspec import Meta

from undercroft.llm.types import Sampling
from undercroft.wire.body import invalid

Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]


Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
"""A caller's own labels."""


class StreamOptions(msgspec.Struct, kw_only=True):
    """How a stream ends. (`include_obfuscation` is understood and has no effect here.)"""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class SamplingBody(msgspec.Struct, kw_only=True):
    """The fields both kinds of request share."""

    model: str | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None


def sampling_of(body: SamplingBody, *, max_tokens: int | None) -> Sampling:
    stop = body.stop
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        logit_bias=body.logit_bias,
        seed=body.seed,
        stop=() if not stop else (stop,) if isinstance(stop, str) else tuple(filter(None, stop)),
        max_tokens=max_tokens,
        n=body.n or 1,
    )


def asks_for_usage(body: SamplingBody) -> bool:
    """Whether the stream is to end with usage. Raises InvalidRequest for stream options without a stream."""
    options = body.stream_options
    if options is None:
        return False
    if not body.stream:
        raise invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return bool(options.include_usage)


def sampling_fields(sampling: Sampling) -> dict[str, object]:
    """The reverse: what was set, under OpenAI's names (`max_tokens` left out: its name differs by route)."""
    fields: dict[str, object] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "logit_bias": sampling.logit_bias,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "n": sampling.n if sampling.n != 1 else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
