"""What a caller says of the cache for one request, in the header `x-undercroft-cache-control`."""

from collections.abc import Iterator
from typing import Final

import msgspec

from undercroft.errors import InvalidRequest

HEADER: Final = "x-undercroft-cache-control"
MOST_SECONDS: Final = 10 * 365 * 86_400


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """For one call; the defaults are those of a call that says nothing."""

    use: bool = False
    """Takes part although the model's answers are not cached by themselves."""
    reads: bool = True
    writes: bool = True
    is_exact: bool = False
    """Only an answer to the very same request."""
    max_age_s: int | None = None
    """An older answer does not do."""
    ttl_s: int | None = None
    """How long the answer may be kept; never longer than the operator says."""


USUAL: Final = Control()


def control_of(text: str) -> Control:
    """The header's directives, separated by commas: `use`, `no-cache` (a fresh answer, which is kept), `no-store`,
    `exact`, `max-age=SECONDS`, `ttl=SECONDS`. Raises InvalidRequest on any other."""
    said = dict(_directives(text))
    return Control(
        use="use" in said,
        reads="no-cache" not in said,
        writes="no-store" not in said,
        is_exact="exact" in said,
        max_age_s=_seconds(said, "max-age"),
        ttl_s=_seconds(said, "ttl"),
    )


_PLAIN: Final = frozenset({"use", "no-cache", "no-store", "exact"})
_COUNTED: Final = frozenset({"max-age", "ttl"})


def _directives(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (each.strip() for each in text.lower().split(","))):
        name, _, value = part.partition("=")
        if (name in _PLAIN and not value) or name in _COUNTED:
            yield name, value
            continue
        raise InvalidRequest(
            f"{HEADER} does not know {part[:50]!r}.",
            param=HEADER,
            hint="It takes use, no-cache, no-store, exact, max-age=SECONDS and ttl=SECONDS, separated by commas.",
        )


def _seconds(said: dict[str, str], name: str) -> int | None:
    value = said.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 12):
        raise InvalidRequest(f"{HEADER}: {name} takes whole seconds, e.g. {name}=600.", param=HEADER)
    return min(int(value), MOST_SECONDS)
