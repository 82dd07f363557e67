"""A call record as a row of `calls`, and back."""

from typing import Any, Final, Protocol

from undercroft.record import CallOpened, CallRecord, Usage, Who

INTERRUPTED: Final = "interrupted"
INTERRUPTED_STATUS: Final = 499
LONGEST_TEXT: Final = 200
"""Characters of a text column: PostgreSQL indexes no entry over 2,700 bytes, and a row is to stay small."""
MOST_TAGS: Final = 32
MOST_TOKENS: Final = 10**12
MOST_NANO: Final = 10**15
"""No call uses or costs this much, and sums of what a broken provider reports stay within 64 bits."""
LARGEST: Final = 2**63 - 1


class Columns(Protocol):
    """A row, whatever it came in."""

    def __getitem__(self, name: str, /) -> Any: ...


def row_of(record: CallRecord) -> dict[str, Any]:
    """The columns. Nothing in a record may make a database refuse its row: what does not fit is cut to fit."""
    who, usage = record.who, record.usage
    return {
        "organisation": _text(who.organisation),
        "id": _text(record.id),
        "started_us": _whole(record.started_us),
        "duration_us": _whole(record.duration_us),
        "team": _text(who.team),
        "user_id": _text(who.user),
        "key": _text(who.key),
        "endpoint": _text(record.endpoint),
        "model": _text(record.model),
        "provider": _text(record.provider),
        "deployment": _text(record.deployment),
        "upstream_model": _text(record.upstream_model),
        "release": _text(record.release),
        "status": record.status,
        "error": _text(record.error),
        "attempts": record.attempts,
        "first_token_us": _whole(record.first_token_us),
        "input_tokens": _whole(usage.input, MOST_TOKENS),
        "output_tokens": _whole(usage.output, MOST_TOKENS),
        "cache_read_tokens": _whole(usage.cache_read, MOST_TOKENS),
        "cache_write_tokens": _whole(usage.cache_write, MOST_TOKENS),
        "reasoning_tokens": _whole(usage.reasoning, MOST_TOKENS),
        "usage_estimated": record.usage_estimated,
        "cost_nano": _whole(record.cost_nano, MOST_NANO),
        "price": _text(record.price),
        "cache": _text(record.cache),
        "streamed": record.streamed,
        "trace": _text(record.trace),
        "end_user": _text(record.end_user),
        "tags": {_text(name): _text(value) for name, value in list(record.tags.items())[:MOST_TAGS]},
        "format": record.format,
    }


def record_of(row: Columns) -> CallRecord:
    """The record behind a row."""
    own = {name: row[name] for name in CallRecord.__struct_fields__ if name not in ("who", "usage")}
    who = Who(organisation=row["organisation"], team=row["team"], user=row["user_id"], key=row["key"])
    return CallRecord(who=who, usage=usage_of(row), **own)


def usage_of(row: Columns) -> Usage:
    return Usage(
        input=row["input_tokens"],
        output=row["output_tokens"],
        cache_read=row["cache_read_tokens"],
        cache_write=row["cache_write_tokens"],
        reasoning=row["reasoning_tokens"],
    )


def interrupted(opened: CallOpened, *, usage: Usage, cost_nano: int, price: str) -> CallRecord:
    """The end of a call whose process died under it: what is known to have been spent, as an estimate."""
    return CallRecord(
        id=opened.id,
        started_us=opened.started_us,
        duration_us=0,
        who=opened.who,
        endpoint=opened.endpoint,
        model=opened.model,
        provider=opened.provider,
        deployment=opened.deployment,
        status=INTERRUPTED_STATUS,
        error=INTERRUPTED,
        attempts=1,
        usage=usage,
        usage_estimated=True,
        cost_nano=cost_nano,
        price=price,
    )


def _text(value: str) -> str:
    # PostgreSQL has no character 0, which JSON allows.
    return value[:LONGEST_TEXT].replace("\0", "\ufffd")


def _whole(value: int, most: int = LARGEST) -> int:
    return min(max(value, 0), most)
