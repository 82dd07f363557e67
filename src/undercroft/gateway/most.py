"""The most a call can use: what is held of budgets and token limits until it has ended."""

from collections.abc import Sequence

from undercroft.gateway.call import Call, Model
from undercroft.gateway.policy import MAX_ATTEMPTS
from undercroft.gateway.stages.meter import Rates
from undercroft.llm.tokens import CHARACTERS_PER_TOKEN, estimate_conversation, estimate_input
from undercroft.llm.types import (
    COMPLETION_TOKENS,
    ChatRequest,
    CompletionRequest,
    EmbeddingsRequest,
    ModerationRequest,
    Request,
)


def own_end(request: Request, *, usual: int) -> int:
    """Tokens of each choice that are held of an answer whose caller has set no end, and at which a budget ends it."""
    return min(COMPLETION_TOKENS, usual) if isinstance(request, CompletionRequest) else usual


def most_output(request: Request, *, usual: int) -> int:
    """Tokens that may be written; `usual` where the request does not say how long an answer may be."""
    match request:
        case ChatRequest(sampling=sampling):
            return (sampling.max_tokens or usual) * sampling.n
        case CompletionRequest(sampling=sampling):
            choices = max(sampling.n, request.best_of or 0) * len(request.prompts)
            return (sampling.max_tokens or usual) * choices
        case EmbeddingsRequest() | ModerationRequest():
            return 0


def says_how_long(request: Request) -> bool:
    """Whether the request itself sets an end to its answer: providers keep to it, so nothing outgrows its hold."""
    return not isinstance(request, ChatRequest | CompletionRequest) or request.sampling.max_tokens is not None


def likely_input(request: Request) -> int:
    """Tokens that are read, about: for limits on tokens, which are not money."""
    return estimate_conversation(request) if isinstance(request, ChatRequest) else estimate_input(request)


def most_input(request: Request, *, likely: int) -> int:
    """Tokens that may be read: as many as the request has bytes, since no tokenizer makes more of a text, and room for
    its images. `likely`: what `likely_input` says."""
    return most_read(len(request.source.body) if request.source is not None else 0, likely=likely)


def most_read(sent_bytes: int, *, likely: int) -> int:
    """The same of a request that came in so many bytes."""
    return max(sent_bytes, likely * CHARACTERS_PER_TOKEN)


def may_cost_more(body: bytes) -> bool:
    """Whether what is asked may hold audio, or a text to be cached for an hour: both cost more than plain text."""
    return b"audio" in body or b'"1h"' in body


def most_spent(call: Call, models: Sequence[Model], rates: Rates, *, likely: int, output: int) -> int | None:
    """Nano-dollars of the dearest way to answer a call; None where one of the ways has no known price."""
    request = call.request
    read = most_input(request, likely=likely)
    is_dear = request.source is not None and may_cost_more(request.source.body)
    most = 0
    # A stream that is cut and gone on with is read again with what was said, as often as a call is tried.
    times = MAX_ATTEMPTS if request.stream and any(model.policy.on_cut == "continue" for model in models) else 1
    for model in models:
        for deployment in model.deployments:
            cost_nano = rates.most(
                deployment, read, output, is_dear=is_dear, at_us=call.started_us, is_batch=bool(call.batch)
            )
            if cost_nano is None:
                return None
            most = max(most, cost_nano * times)
    return most
