"""Names that stand twice in an object of JSON: of several readers one takes the first, and another the last."""

import json
from typing import Any, Final

from undercroft.errors import InvalidRequest
from undercroft.wire.body import unreadable

_BLANKS: Final = " \t\r\n"


def demand_unambiguous(body: bytes) -> None:
    """Raises InvalidRequest where a name stands twice in an object, however deep, and for what is no JSON.

    Looked into is all of it, also what the decoder of a route passes over: it may go on to a provider as it is.
    """
    try:
        text = body.decode().lstrip(_BLANKS)
        if text:  # an empty body is no body
            _scan(text)
    except (ValueError, RecursionError) as error:
        raise unreadable() from error


def _single(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise InvalidRequest(
            "A name stands twice in an object of the request's body.",
            code="duplicated_name",
            hint="Which of the two counts, readers of JSON do not agree on.",
        )


# Numbers are of no interest, and one of five thousand digits would be refused by Python: `len` is the cheapest of all
# functions that take their text. Made once: `json.loads` makes a decoder for each call that wants a hook.
_scan: Final = json.JSONDecoder(object_pairs_hook=_single, parse_int=len, parse_float=len).raw_decode
