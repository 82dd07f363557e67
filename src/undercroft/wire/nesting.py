"""How deep a JSON text is nested, without parsing it."""

import re
from typing import Final

from undercroft.errors import InvalidRequest

_STRING: Final = re.compile(rb'"(?>[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def demand_shallow(body: bytes, *, limit: int) -> None:
    """Raises InvalidRequest for a text nested deeper than `limit`. What is not JSON is left to the parser.

    Most bodies are settled by counting: no text is nested deeper than it has opening brackets.
    """
    if body.count(b"{") + body.count(b"[") <= limit:
        return
    left = _STRING.sub(b"", body).translate(_BRACKETS, _NO_BRACKETS)
    depth = 0
    while left:
        depth += 1
        if depth > limit:
            raise InvalidRequest(
                f"The request's body is nested deeper than {limit} levels.",
                code="nested_too_deeply",
                hint="[server.limits] max_json_depth sets this.",
            )
        shorter = left.replace(b"[]", b"")  # the innermost level
        if len(shorter) == len(left):
            return
        left = shorter
