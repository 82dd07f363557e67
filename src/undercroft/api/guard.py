"""The hostile-request guard: what a request's head must look like before any parser or route sees it.

No Python HTTP server refused all hostile requests by itself; this grammar is stricter than RFC 9112 where leniency has
been used for request smuggling (folded lines, bare line feeds, several framings), and never guesses.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from undercroft.access.doors import is_host

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_FIELDS: Final = 100

# Request line with an origin-form target (or `*` for OPTIONS), then fields without folding, controls or stray spaces.
_HEAD = re.compile(
    rb"(?:([A-Z]{3,10}) (/[!-~]*+)|(OPTIONS) (\*)) HTTP/1\.([01])\r\n"
    rb"(?>[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)*+"
    rb"\r\n"
)
_JUDGED = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"})
_FIELD = re.compile(rb"([^:\r]++):[ \t]*+([^\r]*+)\r\n")


@dataclass(slots=True)
class Request:
    """A head that may be served. `length` is its body's, unless that comes in chunks."""

    method: str
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in the order they came."""
    keep_alive: bool = True
    expects_continue: bool = False
    length: int = 0
    is_chunked: bool = False


class Refusal(NamedTuple):
    """Why the request is not served; the connection is closed after saying so."""

    status: int
    message: str


def examine(head: bytes, *, max_bytes: int = MAX_HEAD_BYTES, max_fields: int = MAX_FIELDS) -> Request | Refusal:
    """Judges a whole head, its final empty line included, and takes it apart."""
    if len(head) > max_bytes:
        return TOO_LONG
    form = _HEAD.fullmatch(head)
    if form is None:
        return NOT_HTTP
    method, target, options, star, minor = form.groups()
    headers = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(head, head.find(b"\r\n") + 2)]
    if len(headers) > max_fields:
        return Refusal(431, f"The request has more than {max_fields} header fields.")
    request = Request((method or options).decode(), target or star, "1.1" if minor == b"1" else "1.0", headers)
    return _framed(request) or request


def _framed(request: Request) -> Refusal | None:
    """Notes what the fields say of the connection and the body; anything doubtful is refused."""
    is_1_0 = request.version == "1.0"
    request.keep_alive = not is_1_0
    hosts = lengths = codings = 0
    for name, value in [field for field in request.headers if field[0] in _JUDGED]:
        match name:
            case b"host":
                hosts += 1
                if not is_host(value.decode("latin-1")):
                    return Refusal(400, "The Host header is not a host.")
            case b"content-length":
                lengths += 1
                if not value.isdigit() or len(value) > 15:
                    return Refusal(400, "The Content-Length header is not one number.")
                request.length = int(value)
            case b"transfer-encoding":
                codings += 1
                if is_1_0 or value.lower() != b"chunked":
                    return Refusal(400, "The only Transfer-Encoding taken is 'chunked', in HTTP/1.1.")
                request.is_chunked = True
            case b"connection":
                request.keep_alive = _lives_on(value.lower(), by_default=request.keep_alive)
            case b"expect":
                request.expects_continue = value.lower() == b"100-continue"
    if hosts != 1 and not (is_1_0 and not hosts):
        return Refusal(400, "The request must have exactly one Host header.")
    if lengths + codings > 1:
        return Refusal(400, "The request says more than once how long its body is.")
    return None


def _lives_on(connection: bytes, *, by_default: bool) -> bool:
    if b"close" in connection:
        return False
    return by_default or b"keep-alive" in connection


TOO_LONG: Final = Refusal(431, "The request's head is longer than this server takes.")
NOT_HTTP: Final = Refusal(400, "The request is not well-formed HTTP/1.1.")
