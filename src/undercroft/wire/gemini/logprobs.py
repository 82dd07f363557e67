"""Turns Gemini's log probabilities into the shape OpenAI's chat has them in."""

from typing import Any

import msgspec


class TokenBody(msgspec.Struct, rename="camel", gc=False):
    """A token and how likely it was."""

    token: str = ""
    log_probability: float = 0.0


class AlternativesBody(msgspec.Struct, gc=False):
    """What could have stood at one place, the likeliest first."""

    candidates: list[TokenBody] = []


class LogprobsBody(msgspec.Struct, rename="camel", gc=False):
    """The tokens chosen, and place by place what else could have been."""

    chosen_candidates: list[TokenBody] = []
    top_candidates: list[AlternativesBody] = []


def logprobs_of(body: LogprobsBody) -> dict[str, Any]:
    others = [place.candidates for place in body.top_candidates]
    content = [
        {**_token(chosen), "top_logprobs": [_token(other) for other in (others[at] if at < len(others) else ())]}
        for at, chosen in enumerate(body.chosen_candidates)
    ]
    return {"content": content, "refusal": None}


def _token(body: TokenBody) -> dict[str, Any]:
    return {"token": body.token, "logprob": body.log_probability, "bytes": list(body.token.encode())}
