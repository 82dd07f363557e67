"""A call record as a row of `calls`, and back."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import astuple

from undercroft.record import CallOpened, CallRecord, Step, Usage, Who
from undercroft.storage.columns import has_one_value

INTERRUPTED: Final = "interrupted"
INTERRUPTED_STATUS: Final = 499
LONGEST_TEXT: Final = 200
"""Characters of a text column: PostgreSQL indexes no entry over 2,700 bytes, and a row is to stay small."""
LONGEST_STORY: Final = 800
"""Characters of a text that no index holds, and that most calls do not have."""
MOST_TAGS: Final = 32
MOST_TOKENS: Final = 10**12
MOST_NANO: Final = 10**15
"""No call uses or costs this much, and sums of what a broken provider reports stay within 64 bits."""
LARGEST: Final = 2**63 - 1

Column = Sequence[Any]


class Columns(Protocol):
    """A row, whatever it came in."""

    def __getitem__(self, name: str, /) -> Any: ...


def _texts(column: Column, *, longest: int = LONGEST_TEXT) -> Column:
    distinct = set(column)
    # Nearly always: what follows takes as long as the rest of the row.
    if max(map(len, distinct)) <= longest and "\0" not in "".join(distinct):
        return column
    changed = {value: fitted for value in distinct if (fitted := _text(value, longest)) != value}
    return [changed.get(value, value) for value in column]


def _text(value: str, longest: int = LONGEST_TEXT) -> str:
    # PostgreSQL has no character 0, which JSON allows.
    return value[:longest].replace("\0", "\ufffd")


def _wholes(column: Column, *, most: int) -> Column:
    if not any(column) or (min(column) >= 0 and max(column) <= most):
        return column
    return [min(max(value, 0), most) for value in column]


def _tags(column: Column) -> Column:
    if not any(column):
        return column
    return [
        {_text(name): _text(value) for name, value in islice(tags.items(), MOST_TAGS)} if tags else tags
        for tags in column
    ]


def _steps(column: Column) -> Column:
    """Lists, since a database knows no structs; nearly all calls have none."""
    if not any(column):
        return [None] * len(column)
    return [[[_text(step.deployment), _text(step.error)] for step in steps] or None for steps in column]


_number = partial(_wholes, most=LARGEST)
_tokens = partial(_wholes, most=MOST_TOKENS)

_FITS: Final[dict[str, Callable[[Column], Column]]] = {
    **dict.fromkeys(("organisation", "team", "user_id", "key", "id", "endpoint", "model", "provider"), _texts),
    **dict.fromkeys(
        ("deployment", "upstream_model", "release", "error", "price", "cache", "trace", "end_user"), _texts
    ),
    **dict.fromkeys(("started_us", "duration_us", "first_token_us"), _number),
    **dict.fromkeys((f"{name}_tokens" for name in Usage.__struct_fields__), _tokens),
    **dict.fromkeys(("cost_nano", "saved_nano", "held_nano"), partial(_wholes, most=MOST_NANO)),
    "steps": _steps,
    "chosen": partial(_texts, longest=LONGEST_STORY),
    "because": partial(_texts, longest=LONGEST_STORY),
    "tags": _tags,
}
"""How what stands in a column is made to fit; the others hold nothing that does not."""


def columns_of(records: Sequence[CallRecord]) -> dict[str, Column]:
    """The rows of one or more records, by column: a look at a whole column costs less than one at each value.

    Nothing in a record may make a database refuse its row: what does not fit is cut to fit.
    """
    columns = _by_field(CallRecord, records)
    who = _by_field(Who, columns.pop("who"))
    who["user_id"] = who.pop("user")
    tokens = {f"{name}_tokens": column for name, column in _by_field(Usage, columns.pop("usage")).items()}
    columns |= who | tokens
    return {name: _fitted(name, column) for name, column in columns.items()}


def _fitted(name: str, column: Column) -> Column:
    fit = _FITS.get(name)
    if fit is None:
        return column
    if has_one_value(column):
        return [fit(column[:1])[0]] * len(column)
    return fit(column)


def _by_field(kind: type[Struct], values: Sequence[Struct]) -> dict[str, Column]:
    if has_one_value(values):
        return {name: [getattr(values[0], name)] * len(values) for name in kind.__struct_fields__}
    return dict(zip(kind.__struct_fields__, zip(*map(astuple, values), strict=True), strict=True))


def row_of(record: CallRecord) -> dict[str, Any]:
    """The columns of one record."""
    return {name: column[0] for name, column in columns_of([record]).items()}


def record_of(row: Columns) -> CallRecord:
    """The record behind a row."""
    own = {name: row[name] for name in CallRecord.__struct_fields__ if name not in _READ_APART}
    who = Who(organisation=row["organisation"], team=row["team"], user=row["user_id"], key=row["key"])
    return CallRecord(
        who=who,
        usage=usage_of(row),
        saved_nano=row["saved_nano"] or 0,  # absent from rows of before there were any
        held_nano=row["held_nano"] or 0,
        steps=tuple(Step(deployment, error) for deployment, error in row["steps"] or ()),
        chosen=row["chosen"] or "",
        because=row["because"] or "",
        **own,
    )


_READ_APART: Final = frozenset({"who", "usage", "saved_nano", "held_nano", "steps", "chosen", "because"})


def usage_of(row: Columns) -> Usage:
    return Usage(
        input=row["input_tokens"],
        output=row["output_tokens"],
        cache_read=row["cache_read_tokens"],
        cache_write=row["cache_write_tokens"],
        reasoning=row["reasoning_tokens"],
        audio_input=row["audio_input_tokens"] or 0,  # absent from rows of before they were counted
        audio_output=row["audio_output_tokens"] or 0,
        cache_write_long=row["cache_write_long_tokens"] or 0,
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
        release=opened.release,
        status=INTERRUPTED_STATUS,
        error=INTERRUPTED,
        attempts=1,
        usage=usage,
        usage_estimated=True,
        cost_nano=cost_nano,
        price=price,
        tags=opened.tags,
    )
