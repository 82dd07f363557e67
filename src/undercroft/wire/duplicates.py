"""Names that stand twice in an object of JSON: of several readers one takes the first, and another the last."""

import json
from typing import Any

from undercroft.errors import InvalidRequest


def demand_unambiguous(body: bytes) -> None:
    """Raises InvalidRequest where a name stands twice in an object, however deep.

    For where somebody decides by what we have read, and the body itself goes on to another reader. `body` is JSON.
    """
    # Numbers are of no interest, and one of five thousand digits would be refused by Python.
    json.loads(body, object_pairs_hook=_single, parse_int=_nothing, parse_float=_nothing)


def _single(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise InvalidRequest(
            "A name stands twice in an object of the request's body.",
            code="duplicated_name",
            hint="Which of the two counts, readers of JSON do not agree on.",
        )


def _nothing(_: str) -> None:
    """A number."""
