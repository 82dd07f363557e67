"""What the heads of requests say, remembered: the same clients send the same heads again and again."""

from dataclasses import replace
from hashlib import blake2b
from typing import Final

import msgspec

from undercroft.access.callers import Caller
from undercroft.access.doors import Door, Visit, admit
from undercroft.access.keys import KeyRing
from undercroft.api.calls import trace_in
from undercroft.api.exchange import credential_of
from undercroft.api.fast_path.formats import BEGINNINGS, Format, Passed
from undercroft.api.fast_path.plan import Plan
from undercroft.api.guard import Request
from undercroft.errors import UndercroftError
from undercroft.telemetry.trace_context import read

MOST_REMEMBERED: Final = 4096
_LENGTHS: Final = (b"\r\ncontent-length: ", b"\r\nContent-Length: ")
"""How clients write it; a pattern that ignores case takes ten times as long."""
_LENGTH_BYTES: Final = len(_LENGTHS[0])
_MOST_DIGITS: Final = 9
_HASH: Final = blake2b(digest_size=32)
"""To copy: that takes a quarter less time than to make one."""
_OWN_FIELD: Final = b"x-undercroft-"
"""Fields by which a caller wants something of us: whatever it is, it is more than plain."""
_NOT_PLAIN: Final = frozenset({b"origin", b"expect", b"content-encoding"})
_OF_ONE_CALL: Final = frozenset({b"traceparent", b"tracestate", b"x-request-id", b"idempotency-key", b"baggage"})
"""With one of these a head hardly comes again."""


class PlainHead(msgspec.Struct, frozen=True, eq=False):
    """A head that may belong to a plain call, of a caller who may call models."""

    request: Request
    caller: Caller
    format: Format
    passed: Passed
    traceparent: str = ""
    trace: str = ""
    told: str = ""
    """What a provider is told of it where we leave no spans of our own."""
    plans: dict[str, Plan] = {}
    """What becomes of the plain calls that come with it, by the public names of models."""


class Heads:
    """Remembers by a hash of all of a head but its content-length, so that no key stands in memory for it.

    Every change of the keys makes it forget everything; a key that ends at a known moment is looked at each time.
    """

    def __init__(self, door: Door, keys: KeyRing) -> None:
        self._door = door
        self._keys = keys
        self._version = keys.version
        self._known: dict[bytes, PlainHead] = {}

    def find(self, head: bytes) -> tuple[PlainHead, int] | None:
        """What a head says that came before, and this one's content-length."""
        parted = _parted(head)
        if parted is None or self._version != self._keys.version:
            return None
        shown, length = parted
        known = self._known.get(shown)
        return None if known is None else (known, length)

    def read(self, head: bytes, request: Request, *, now_us: int) -> tuple[PlainHead, int] | None:
        """The same of a head that was examined; None for what is left to the application."""
        comes_in = BEGINNINGS.get(head[: head.find(b"\n") + 1])
        if comes_in is None or request.is_chunked or not request.length or not self._keys.known:
            return None
        fields = dict(request.headers)

        def header(name: bytes) -> str:
            return fields.get(name, b"").decode("latin-1")

        if not _NOT_PLAIN.isdisjoint(fields) or any(name.startswith(_OWN_FIELD) for name in fields):
            return None
        visit = Visit(
            host=header(b"host"),
            peer="",  # a key that is bound to addresses is left to the application
            credential=credential_of(header(b"authorization"), header(b"x-api-key")),
            route=comes_in.path,
        )
        try:
            caller = admit(self._door, visit, "ai", self._keys, now_us=now_us)
            passed = comes_in.passed(header)
        except UndercroftError:
            return None
        traceparent, trace = trace_in(header(b"traceparent"))
        context = read(traceparent)
        told = context.header() if context is not None else ""
        plain = PlainHead(replace(request, headers=[]), caller, comes_in, passed, traceparent, trace, told, {})
        parted = _parted(head)
        if parted is not None and _OF_ONE_CALL.isdisjoint(fields) and self._keys.is_lasting(caller.who.key):
            self._remember(parted[0], plain)
        return plain, request.length

    def _remember(self, shown: bytes, plain: PlainHead) -> None:
        if self._version != self._keys.version or len(self._known) >= MOST_REMEMBERED:
            self._version = self._keys.version
            self._known.clear()
        self._known[shown] = plain


def _parted(head: bytes) -> tuple[bytes, int] | None:
    """A hash of all of a head but its content-length, and that.

    A valid head has one, so that of what is remembered nothing but its number is left out.
    """
    start = head.find(_LENGTHS[0])
    if start < 0:
        start = head.find(_LENGTHS[1])
        if start < 0:
            return None
    first = start + _LENGTH_BYTES
    end = head.find(b"\r\n", first)
    digits = head[first:end]
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        return None
    shown = _HASH.copy()
    shown.update(head[:start])
    shown.update(head[end:])
    return shown.digest(), int(digits)
