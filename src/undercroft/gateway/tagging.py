"""Tags that a caller gives a call, so that usage can be told by them: `undercroft usage --by tag:project`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from undercroft.errors import InvalidRequest
from undercroft.ledger.usage_tags import TAG_NAME

HEADER: Final = "x-undercroft-usage-tags"
MOST: Final = 8
LONGEST: Final = 64
"""Characters of a value."""


def tags_of(header: str) -> dict[str, str]:
    """`project=apollo, feature=search`. Raises InvalidRequest on anything else, and on more than eight."""
    tags = {}
    for part in filter(None, (each.strip() for each in header.split(","))):
        name, _, value = (each.strip() for each in part.partition("="))
        if not TAG_NAME.fullmatch(name) or not 0 < len(value) <= LONGEST or not value.isprintable():
            raise InvalidRequest(
                f"{HEADER} does not take {part[:80]!r}.",
                param=HEADER,
                hint=f"It takes NAME=VALUE, separated by commas; values have up to {LONGEST} characters.",
            )
        tags[name] = value
    if len(tags) > MOST:
        raise InvalidRequest(f"{HEADER} has {len(tags)} tags; it takes {MOST}.", param=HEADER)
    return tags


def picked(metadata: Mapping[str, Any] | None, names: Sequence[str]) -> dict[str, str]:
    """Those of a request's own labels that the operator counts by; of a longer value, its beginning."""
    if not metadata or not names:
        return {}
    return {name: str(metadata[name])[:LONGEST] for name in names if metadata.get(name)}
