"""What a model's calls may cost in tries and time, and what happens when an answer does not come."""

from dataclasses import dataclass
from typing import Final, Literal

MAX_ATTEMPTS: Final = 4
"""Upstream attempts of one call, fallbacks and continuations included: an outage is not multiplied any further."""

WAIT_BEFORE_FALLBACK_S: Final = 5.0
"""A longer pause that a provider asks for is not waited for where a fallback can answer at once."""

OnCut = Literal["error", "continue"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How the calls of one model are kept alive. None: no limit of the model's own."""

    tries: int = 3
    """Attempts at the model itself; fewer where fallbacks need their share of MAX_ATTEMPTS."""
    first_token_s: float | None = None
    """Streams: from asking to the first piece that says something."""
    whole_s: float | None = None
    """Answers that are not streamed: from asking to the end."""
    total_s: float | None = None
    """The call as its caller sees it."""
    on_cut: OnCut = "error"
    coalesce: bool = False
    cache: bool = False
    """Answers are kept and given again without being asked to."""
    fallbacks: tuple[str, ...] = ()
    """Models that answer when this one cannot."""
    fallbacks_on_context: tuple[str, ...] = ()
    """Models that answer when the prompt is too long for this one."""
    fallbacks_on_policy: tuple[str, ...] = ()
    """Models that answer when this one's content policy refuses."""

    @property
    def has_fallbacks(self) -> bool:
        return bool(self.fallbacks or self.fallbacks_on_context or self.fallbacks_on_policy)


USUAL: Final = Policy()
"""Of a model about which the operator has said nothing."""
