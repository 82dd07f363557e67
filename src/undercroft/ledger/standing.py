"""What the calls of one caller for one model are counted in, looked up once for many of them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from undercroft.ledger.allowances import Allowance, Hold
from undercroft.ledger.limits import NEVER_US, Counting, Measure

_ONE, _TOKENS, _SPEND = range(3)
_HELD: Final[dict[Measure, int]] = {"requests": _ONE, "concurrent": _ONE, "tokens": _TOKENS, "spend": _SPEND}
"""Which of what a call holds is held of a limit of each measure: the same as `limits.asked` says."""


class Told(NamedTuple):
    """A limit that callers are told of in their answers' heads."""

    allowance: Allowance
    before: bytes
    """What stands before how much is left."""
    between: bytes
    """What stands between that and in how many seconds it renews; without that, nothing."""


class Standing:
    """The allowances of one `Counting`. It lasts as long as that does and none of them is closed: a closed one is not
    trusted, so that nothing can be held of it here."""

    __slots__ = ("_parts", "_told", "counted", "tells")

    def __init__(self, counted: Counting, allowances: Sequence[Allowance]) -> None:
        """`allowances` in the order of the limits."""
        self.counted = counted
        self._parts = tuple((each, _HELD[each.limit.measure]) for each in allowances)
        self._told = tuple(
            Told(
                each,
                b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: " % (name, each.limit.amount, name),
                b"\r\nx-ratelimit-reset-%b: " % name if each.slice.window.ends_us < NEVER_US else b"",
            )
            for measure in ("requests", "tokens")
            for each in allowances
            if each.limit.measure == measure
            for name in (measure.encode(),)
        )
        self.tells = bool(self._told)
        """Whether there is anything that callers are told of."""

    @property
    def tells_all(self) -> bool:
        """Whether of each measure there is one limit, so that none has to be chosen to be told of."""
        return len({each.allowance.limit.measure for each in self._told}) == len(self._told)

    def hold(self, tokens: int, spend_nano: int, now: float) -> bool:
        """Holds it of all of them; False, and nothing is held, where there is more to it."""
        amounts = (1, tokens, spend_nano)
        for allowance, kind in self._parts:
            held = allowance.held + amounts[kind]
            if now >= allowance.trusted_until or held > allowance.slice.amount - allowance.spent:
                self._undo(allowance, amounts)
                return False
            allowance.held = held
            allowance.used_at = now
        return True

    def _undo(self, end: Allowance, amounts: tuple[int, int, int]) -> None:
        """Nothing is held of those before it."""
        for allowance, kind in self._parts:
            if allowance is end:
                return
            allowance.held -= amounts[kind]

    def settle(self, held_tokens: int, held_nano: int, *, tokens: int, cost_nano: int) -> None:
        """A call has ended that held so much: as `Hold.settle`."""
        amounts = (1, held_tokens, held_nano)
        for allowance, kind in self._parts:
            allowance.held -= amounts[kind]
            allowance.spent += allowance.per_call + allowance.per_token * tokens + allowance.per_nano * cost_nano

    def drop(self, held_tokens: int, held_nano: int) -> None:
        """There was no call after all."""
        self.taken_over(held_tokens, held_nano).drop()

    def taken_over(self, held_tokens: int, held_nano: int) -> Hold:
        """What a call holds here, for somebody else to settle."""
        amounts = (1, held_tokens, held_nano)
        return Hold([(allowance, amounts[kind]) for allowance, kind in self._parts])

    def fields(self, at_us: int) -> bytes:
        """The lines that tell what is left, as OpenAI names them (`stages/allow.py`)."""
        lines = b""
        for allowance, before, between in self._told:
            lent = allowance.slice
            left = allowance.limit.amount - allowance.held - allowance.spent
            if lent.taken > lent.amount:  # others' part of it
                left -= lent.taken - lent.amount
            if left < 0:
                left = 0
            if between:
                renews_in_s = (lent.window.ends_us - at_us + 999_999) // 1_000_000
                lines += b"%b%d%b%ds\r\n" % (before, left, between, renews_in_s)
            else:
                lines += b"%b%d\r\n" % (before, left)
        return lines
