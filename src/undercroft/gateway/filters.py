"""Which deployments can take a call: what they offer against what it needs."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.llm.tokens import estimate_longest
from undercroft.llm.types import ChatRequest, EmbeddingsRequest, ModerationRequest, Part, Request

TAGS_HEADER: Final = "x-undercroft-tags"
REGION_HEADER: Final = "x-undercroft-region"

ESTIMATE_SLACK: Final = 1.25
"""A prompt is counted by its characters: where even the largest context seems too small by less than this, the
provider's own count decides."""

_CAPABILITY_OF_PART: Final = {"image_url": "images", "input_audio": "audio", "file": "files"}


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment can take."""

    kinds: frozenset[str]
    """Chat, completions, embeddings, moderations: what its provider does at all."""
    capabilities: frozenset[str] | None = None
    """None: every kind of call."""
    context_tokens: int | None = None
    """None: not known, and taken to be enough."""
    tags: frozenset[str] = frozenset()
    region: str = ""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller said about the place where its call is answered."""

    tags: frozenset[str] = frozenset()
    """All of them."""
    region: str = ""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What a call needs."""

    kind: str
    capabilities: frozenset[str]
    """`kind` included."""
    input_tokens: int
    """As estimated, of the longest text."""
    output_tokens: int
    """At most, where the caller said so; else 0."""


def wish_of(tags: str, region: str) -> Wish | None:
    """The wish in the two headers' values: tags separated by commas, and one region."""
    named = frozenset(filter(None, (tag.strip() for tag in tags.split(","))))
    region = region.strip()
    return Wish(tags=named, region=region) if named or region else None


def need_of(request: Request, kind: str) -> Need:
    """Looks through a request for what not every deployment can do."""
    found: set[str] = {kind}
    output = 0
    if isinstance(request, ChatRequest):
        found |= _of_chat(request)
        output = request.sampling.max_tokens or 0
    elif isinstance(request, ModerationRequest):
        for each in request.inputs:
            found |= _of_parts(each)
    elif not isinstance(request, EmbeddingsRequest):
        output = request.sampling.max_tokens or 0
        if request.logprobs is not None:
            found.add("logprobs")
    return Need(kind=kind, capabilities=frozenset(found), input_tokens=estimate_longest(request), output_tokens=output)


def _of_chat(request: ChatRequest) -> set[str]:
    found: set[str] = set()
    for message in request.messages:
        found |= _of_parts(message.content or "")
    if request.tools:
        found.add("tools")
    if request.response_format.type == "json_schema":
        found.add("json_schema")
    if request.logprobs or request.top_logprobs is not None:
        found.add("logprobs")
    if request.reasoning_tokens or request.reasoning_effort not in (None, "none"):
        found.add("reasoning")
    return found


def _of_parts(content: str | Sequence[Part]) -> set[str]:
    if isinstance(content, str):
        return set()
    return {_CAPABILITY_OF_PART[part.type] for part in content if part.type in _CAPABILITY_OF_PART}


def fitting(model: str, offers: Sequence[Offer], need: Need, wish: Wish | None) -> tuple[int, ...]:
    """Who can take the call. Raises InvalidRequest, naming the reason, when nobody can."""
    able = range(len(offers)) if wish is None else wished(model, offers, wish)
    where = "" if wish is None else f" {_in_words(wish)}"
    kinds = [index for index in able if need.kind in offers[index].kinds]
    if not kinds:
        raise unsupported(f"The model '{model}'{where} does not do {need.kind}.")
    lacking = {index: _lacks(offers[index], need) for index in kinds}
    capable = [index for index in kinds if not lacking[index]]
    if not capable:
        missing = min((lacking[index] for index in kinds), key=len)
        raise unsupported(f"No deployment of the model '{model}'{where} takes {_listed(missing)}.")
    roomy = [index for index in capable if _has_context(offers[index], need)]
    return tuple(roomy or _largest(model, offers, capable, need))


def wished(model: str, offers: Sequence[Offer], wish: Wish) -> list[int]:
    """Who is where the caller wants its call answered."""
    regions = {offer.region for offer in offers if offer.region}
    if wish.region and wish.region not in regions:
        raise _unknown(REGION_HEADER, "region", wish.region, model, regions)
    tags = frozenset[str]().union(*(offer.tags for offer in offers))
    for tag in sorted(wish.tags - tags):
        raise _unknown(TAGS_HEADER, "tag", tag, model, tags)
    found = [
        index
        for index, offer in enumerate(offers)
        if wish.tags <= offer.tags and (not wish.region or offer.region == wish.region)
    ]
    if not found:
        raise unsupported(f"No deployment of the model '{model}' is {_in_words(wish)}.")
    return found


def unsupported(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="unsupported_operation", param="model")


def _unknown(header: str, what: str, asked: str, model: str, known: Iterable[str]) -> InvalidRequest:
    names = ", ".join(sorted(known))
    told = f"there are {names}" if names else f"its deployments have no {what}s"
    return InvalidRequest(f"The model '{model}' has no {what} '{asked}': {told}.", code="invalid_value", param=header)


def _in_words(wish: Wish) -> str:
    """`in region eu with the tags fast, large`."""
    words = [f"in region {wish.region}"] if wish.region else []
    if wish.tags:
        words.append(f"with the tag{'s' if len(wish.tags) > 1 else ''} {_listed(wish.tags)}")
    return " ".join(words)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _lacks(offer: Offer, need: Need) -> frozenset[str]:
    return frozenset() if offer.capabilities is None else need.capabilities - offer.capabilities


def _has_context(offer: Offer, need: Need) -> bool:
    return offer.context_tokens is None or need.input_tokens + need.output_tokens <= offer.context_tokens


def _largest(model: str, offers: Sequence[Offer], indices: Sequence[int], need: Need) -> list[int]:
    """Those with the most room, where the estimate alone speaks against them."""
    largest = max(offers[index].context_tokens or 0 for index in indices)
    if need.input_tokens / ESTIMATE_SLACK + need.output_tokens > largest:
        asked = f" and {need.output_tokens} for the answer" if need.output_tokens else ""
        raise InvalidRequest(
            f"The prompt has about {need.input_tokens} tokens{asked}; the largest context of the model '{model}' that"
            f" could take this call has {largest}.",
            code="context_length_exceeded",
            param="messages" if need.kind == "chat" else "input" if need.kind == "embeddings" else "prompt",
        )
    return [index for index in indices if offers[index].context_tokens == largest]
