"""The hostile-request guard: what a request's head must look like before any parser or route sees it.

No Python HTTP server refused all hostile requests by itself; this grammar is stricter than RFC 9112 where leniency has
been used for request smuggling (folded lines, bare line feeds, several framings), and never guesses.
"""

import re
from typing import Final, NamedTuple

from undercroft.access.doors import is_host

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_FIELDS: Final = 100

# Request line with an origin-form target (or `*` for OPTIONS), then fields without folding, controls or stray spaces.
_HEAD = re.compile(
    rb"(?:[A-Z]{3,10} /[!-~]*+|OPTIONS \*) HTTP/1\.([01])\r\n"
    rb"(?>[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)*+"
    rb"\r\n"
)


class Framing(NamedTuple):
    """How long the body is: `length` bytes, or chunked until its own end."""

    length: int
    is_chunked: bool


NO_BODY: Final = Framing(0, False)  # noqa: FBT003 - positional: made once a request
CHUNKED: Final = Framing(0, True)  # noqa: FBT003


class Refusal(NamedTuple):
    """Why the request is not served; the connection is closed after saying so."""

    status: int
    message: str


def examine(head: bytes) -> Framing | Refusal:
    """Judges a whole head, its final empty line included."""
    if len(head) > MAX_HEAD_BYTES:
        return TOO_LONG
    form = _HEAD.fullmatch(head)
    if form is None:
        return Refusal(400, "The request is not well-formed HTTP/1.1.")
    if head.count(b"\r\n") - 2 > MAX_FIELDS:
        return Refusal(431, f"The request has more than {MAX_FIELDS} header fields.")
    is_1_0 = form[1] == b"0"
    lower = head.lower()
    hosts = _values(lower, b"\r\nhost:")
    if len(hosts) != 1 and not (is_1_0 and not hosts):
        return Refusal(400, "The request must have exactly one Host header.")
    if hosts and not is_host(hosts[0].decode("latin-1")):
        return Refusal(400, "The Host header is not a host.")
    return _framing(lower, is_1_0=is_1_0)


TOO_LONG: Final = Refusal(431, f"The request's head is longer than {MAX_HEAD_BYTES} bytes.")


def _framing(lower: bytes, *, is_1_0: bool) -> Framing | Refusal:
    lengths = _values(lower, b"\r\ncontent-length:")
    codings = _values(lower, b"\r\ntransfer-encoding:")
    if not codings:
        if not lengths:
            return NO_BODY
        if len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) <= 15:
            return Framing(int(lengths[0]), False)  # noqa: FBT003
        return Refusal(400, "The Content-Length header is not one number.")
    if lengths:
        return Refusal(400, "The request has both Content-Length and Transfer-Encoding.")
    if is_1_0 or codings != [b"chunked"]:
        return Refusal(400, "The only Transfer-Encoding taken is 'chunked', in HTTP/1.1.")
    return CHUNKED


def _values(lower: bytes, field: bytes) -> list[bytes]:
    """The values of one field, `field` being its name as it stands in a lower-case head."""
    values = []
    at = lower.find(field)
    while at >= 0:
        start = at + len(field)
        end = lower.find(b"\r\n", start)
        values.append(lower[start:end].strip(b" \t"))
        at = lower.find(field, end)
    return values
