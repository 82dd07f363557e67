"""`[ledger]` and `[limits]`: what was used, and what may be."""

from typing import Annotated, Literal

from pydantic import Field

from undercroft.settings.providers import Price
from undercroft.settings.section import Name, Positive, Seconds, Section, Text, Usd


class Ledger(Section):
    """What was used and what it cost."""

    durability: Literal["process", "power", "database"] = "process"
    """`process`: a record survives kill -9. `power`: it is on disk before the answer ends. `database`: it is committed
    there before the answer ends, and no local disk is used; for functions, which lose theirs."""
    ship_interval_s: Seconds = 0.25
    """How often spooled records move to the database."""
    tags: tuple[Text, ...] = ()
    """Which of a request's own `metadata` are booked as tags, so that usage can be told by them: `["project"]`. The
    header `x-undercroft-usage-tags` needs no such list."""
    content: Literal["never", "on_request", "always"] = "on_request"
    """Whether prompts and answers are kept, in a table of their own. `on_request`: of calls with the header
    `x-undercroft-content: keep`. `always`: of all but those with `x-undercroft-content: none`."""
    content_days: Annotated[int, Field(gt=0, le=36_500)] = 30
    """How long they are kept."""
    content_bytes: Annotated[int, Field(gt=0, le=10_000_000)] = 100_000
    """Most of one prompt, and of one answer; of a longer one, the beginning is kept."""


class LimitRule(Section):
    """What each organisation, team, user or key may use, unless it is said of one of them alone."""

    per: Literal["organisation", "team", "user", "key"] = "key"
    """Whose use is counted."""
    subject: Name | None = None
    """The id of the only one it holds for; default: each has it to itself."""
    model: Text | None = None
    """A public model name; default: all models together."""
    period: Literal["minute", "hour", "day", "week", "month", "total"] = "minute"
    """What `requests`, `tokens` and `spend` are counted in, in UTC; `total` never renews."""
    requests: Positive | None = None
    """Calls in a period."""
    tokens: Positive | None = None
    """Input and output tokens in a period."""
    spend: Usd | None = None
    """USD in a period. No call begins that could go over it."""
    concurrent: Positive | None = None
    """Calls under way at the same time."""


class Limits(Section):
    """What callers may use; keys have limits of their own besides."""

    rules: tuple[LimitRule, ...] = ()
    """For all of a kind, or one of them."""
    output_tokens: Positive = 4096
    """How long an answer is taken to be, for what a call holds, where its request does not say. Under a budget it is no
    longer; a stream that only limits of tokens count holds more as it goes on."""
    unknown_price: Literal["deny", "estimate", "allow"] = "allow"
    """Calls under a budget to a model without a known price: refuse them, book them at `estimate`, or as free."""
    estimate: Price = Price(input="10", output="30")
    """The price of models without a known one, where `unknown_price` is `estimate`."""
