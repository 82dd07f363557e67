"""Why a call went the way it did, told step by step from its record alone."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Final, Literal

import msgspec
from sqlalchemy import Connection, select

from undercroft.clock import rfc3339
from undercroft.ledger.entries import INTERRUPTED, record_of
from undercroft.money import format_usd
from undercroft.record import CallRecord, Usage
from undercroft.storage.schema import calls

What = Literal["asked", "budget", "cache", "attempt", "answer", "tokens", "cost"]

_CACHE: Final = {
    "hit": "The cache had the answer to the very same request: no provider was asked.",
    "semantic": "The cache had the answer to a question of the same facts in other words: no provider was asked.",
    "coalesced": "The same was being asked by another call of this key: both got its answer, and that one paid.",
    "miss": "The cache had no answer.",
}


class Told(msgspec.Struct, frozen=True):
    """One step of the story."""

    step: What
    text: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one call."""

    id: str
    started_at: str
    model: str
    deployment: str
    status: int
    error: str
    attempts: int
    cache: str
    cost_usd: str
    saved_usd: str
    held_usd: str
    steps: tuple[Told, ...]


def call_of(connection: Connection, *, id: str, organisation: str) -> CallRecord | None:
    """The record of a call that has ended and been booked."""
    wanted = (calls.c.organisation == organisation) & (calls.c.id == id)
    row = connection.execute(select(calls).where(wanted)).mappings().one_or_none()
    return None if row is None else record_of(row)


def explain(record: CallRecord) -> Explanation:
    """The whole story of a call."""
    return Explanation(
        id=record.id,
        started_at=rfc3339(record.started_us),
        model=record.model,
        deployment=record.deployment,
        status=record.status,
        error=record.error,
        attempts=record.attempts,
        cache=record.cache,
        cost_usd=format_usd(record.cost_nano),
        saved_usd=format_usd(record.saved_nano),
        held_usd=format_usd(record.held_nano),
        steps=tuple(_story(record)),
    )


def _story(record: CallRecord) -> Iterator[Told]:
    yield Told("asked", _asked(record))
    if record.held_nano:
        yield Told("budget", f"{format_usd(record.held_nano)} USD were held of its budgets while it ran.")
    if record.cache in _CACHE:
        yield Told("cache", _CACHE[record.cache])
    chosen = record.chosen.split("\n")
    for number, (step, choice) in enumerate(zip_longest(record.steps, chosen[: len(record.steps)]), start=1):
        why = step.error or "an error"
        named = _named(record, step.deployment)
        yield Told("attempt", f"Attempt {number}: {named} failed with {why}{_choice(choice)}.")
    if record.deployment and record.attempts > len(record.steps):
        choice = chosen[-1] if len(chosen) > len(record.steps) else ""
        named = _named(record, record.deployment)
        yield Told("attempt", f"Attempt {record.attempts}: {named} was asked{_choice(choice)}.")
    yield Told("answer", _answer(record))
    if record.usage.total:
        yield Told("tokens", _tokens(record.usage, is_estimated=record.usage_estimated))
    yield Told("cost", _cost(record))


def _asked(record: CallRecord) -> str:
    wanted = f"the model '{record.model}'" if record.model else "no model that could be found"
    how = ", streamed" if record.streamed else ""
    by = f"the key {record.who.key}" if record.who.key else "a caller without a virtual key"
    return f"{record.endpoint} was asked for {wanted}{how} by {by}."


def _named(record: CallRecord, deployment: str) -> str:
    model, _, _ = deployment.rpartition("/")
    return deployment if model == record.model else f"{deployment}, of the fallback '{model}',"


def _choice(choice: str | None) -> str:
    """The words of `gateway.balance.Turn.why`."""
    return f" ({choice})" if choice else ""


def _answer(record: CallRecord) -> str:
    took = f"after {record.duration_us / 1_000_000:.3f} s"
    if record.error == INTERRUPTED:
        return "The process that ran it died before the answer had ended."
    if record.error:
        because = f": {record.because}" if record.because else "."
        return f"It ended with {record.status} {record.error} {took}{because}"
    by = f" by {record.upstream_model}" if record.upstream_model else ""
    first = f", its first piece after {record.first_token_us / 1_000_000:.3f} s" if record.first_token_us else ""
    return f"It was answered{by} {took}{first}."


def _tokens(usage: Usage, *, is_estimated: bool) -> str:
    parts = [f"{usage.input} in", f"{usage.output} out"]
    named = (("read from the provider's cache", usage.cache_read), ("written to it", usage.cache_write))
    parts += [f"{count} {what}" for what, count in named if count]
    parts += [f"{usage.cache_write_long} of these for an hour"] if usage.cache_write_long else []
    parts += [f"{usage.reasoning} for reasoning"] if usage.reasoning else []
    audio = usage.audio_input + usage.audio_output
    parts += [f"{audio} of all were audio"] if audio else []
    by = "estimated, since the provider did not tell" if is_estimated else "as the provider counted"
    return f"Tokens: {', '.join(parts)}; {by}."


def _cost(record: CallRecord) -> str:
    if record.saved_nano:
        return f"It cost nothing, and saved {format_usd(record.saved_nano)} USD."
    if not record.usage.total:
        return "It cost nothing: no tokens were spent."
    if not record.price:
        return "What it cost is not known: nobody knows the price of this model."
    return f"It cost {format_usd(record.cost_nano)} USD, by the price {record.price}."
