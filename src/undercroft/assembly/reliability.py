"""From what the operator wrote of tries and time limits to the values that gateway and egress work with."""

from typing import Final

from undercroft.egress.client import TimeLimits
from undercroft.gateway.policy import Policy
from undercroft.settings.model import Egress, Model, Reliability, Settings

FIRST_TOKEN_S: Final = 10.0
"""How long a stream's first word is waited for where somebody else can be asked."""


def policy_of(model: Model | None, usual: Reliability, *, caches: bool = False) -> Policy:
    """A model's policy; None: of a model that stands in no `[[models]]`. `caches`: what holds of answers where the
    model does not say."""
    if model is None:
        return Policy(
            tries=usual.tries,
            first_token_s=usual.first_token_timeout_s,
            whole_s=usual.whole_answer_timeout_s,
            total_s=usual.total_timeout_s,
            on_cut=usual.on_cut,
            coalesce=usual.coalesce,
            cache=caches,
        )
    first_token_s = model.first_token_timeout_s or usual.first_token_timeout_s
    if first_token_s is None and (len(model.deployments) > 1 or model.fallbacks):
        first_token_s = FIRST_TOKEN_S
    return Policy(
        tries=model.tries or usual.tries,
        first_token_s=first_token_s,
        whole_s=model.whole_answer_timeout_s or usual.whole_answer_timeout_s,
        total_s=model.total_timeout_s or usual.total_timeout_s,
        on_cut=model.on_cut or usual.on_cut,
        coalesce=usual.coalesce if model.coalesce is None else model.coalesce,
        cache=caches if model.cache is None else model.cache,
        fallbacks=model.fallbacks,
        fallbacks_on_context=model.fallbacks_on_context,
        fallbacks_on_policy=model.fallbacks_on_policy,
    )


def limits_of(model: Model | None, settings: Settings) -> TimeLimits:
    """What a model's connections wait for. The wait for the first byte is a net below the policy's own limits, which
    know whether an answer is streamed."""
    egress, usual = settings.egress, settings.reliability
    told = model or usual
    whole_s = told.whole_answer_timeout_s or usual.whole_answer_timeout_s or egress.first_byte_timeout_s
    first_token_s = told.first_token_timeout_s or usual.first_token_timeout_s or egress.first_byte_timeout_s
    return TimeLimits(
        connect_s=told.connect_timeout_s or usual.connect_timeout_s or egress.connect_timeout_s,
        first_byte_s=max(whole_s, first_token_s),
        idle_s=told.between_chunks_timeout_s or usual.between_chunks_timeout_s or egress.idle_timeout_s,
    )


def own_limits(egress: Egress) -> TimeLimits:
    """What the client waits for by itself."""
    return TimeLimits(
        connect_s=egress.connect_timeout_s, first_byte_s=egress.first_byte_timeout_s, idle_s=egress.idle_timeout_s
    )
