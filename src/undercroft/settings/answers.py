"""`[responses]` and `[cache]`: answers that are kept."""

from typing import Annotated, Literal

from pydantic import Field

from undercroft.settings.section import Positive, Seconds, Section


class Responses(Section):
    """OpenAI's Responses: what is kept of them, and those that run in the background."""

    store_by_default: bool = True
    """Whether a response is kept when its request does not say."""
    keep_days: Annotated[int, Field(gt=0, le=36_500)] = 30
    """How long a kept response can be fetched and continued; then it is deleted."""
    background_at_once: Positive = 16
    """Background responses that one process answers at a time; others are queued."""
    background_queue: Positive = 1000
    """Background responses that one process has accepted and not answered; further ones get 503."""
    background_timeout_s: Seconds = 3600.0
    """Longest time for a background response, once its turn has come."""


class Cache(Section):
    """Answers that are given again to whoever asks the same within an organisation."""

    mode: Literal["off", "on_request", "always"] = "on_request"
    """`always`: all models' answers, unless one says otherwise. `on_request`: those of models with `cache = true`, and
    for calls with the header `x-undercroft-cache-control: use`. `off`: none."""
    store: Literal["memory", "database", "redis"] | None = None
    """Where answers are kept; default: redis where its address is set, memory where one process does everything, else
    the database."""
    ttl_s: Annotated[float, Field(gt=0, le=315_360_000)] = 3600.0
    """How long an answer is given again; a call may ask for less."""
    max_entries: Positive = 10_000
    """Answers that are kept, in memory or the database; Redis bounds itself (`maxmemory`)."""
    max_bytes: Positive = 268_435_456
    """What they may take in all, likewise."""
    max_entry_bytes: Positive = 1_000_000
    """A longer answer is not kept."""
    semantic: bool = False
    """Also answer questions that say the same in other words: their numbers, negations and names are the same, and the
    bundled embedding model finds them near enough."""
    semantic_threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.875
    """Least cosine similarity of such questions."""
    semantic_questions: Positive = 10_000
    """Questions that one process remembers for it."""
