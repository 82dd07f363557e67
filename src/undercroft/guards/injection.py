"""Signs that a text tries to give the model other orders: heuristics, which find the usual and not the clever.

No pattern keeps a model from being talked into something. This tells you when somebody tries the well-known ways, in
four languages; what a model may do must be bounded where it does it.
"""

import re
from collections.abc import Sequence
from typing import Final

from undercroft.guards.types import Find

LONGEST: Final = 200

_THEIRS: Final = "(?:previous|prior|above|earlier|all|any|your|the|system)"
_ORDERS: Final = "(?:instruction|prompt|rule|direction|guideline|order|message)s?"
_YOURS: Final = "(?:your|the|initial|hidden|original)"
_HIDDEN: Final = "(?:system prompt|system message|hidden prompt|initial instructions|original instructions)"
_FREE: Final = "(?:no (?:rules|restrictions|filters)|unrestricted)"

_WAYS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = tuple(
    (markers, re.compile(pattern, re.DOTALL))
    for markers, pattern in (
        # Setting the orders aside.
        (
            ("ignor", "disregard", "forget", "overrid", "bypass"),
            rf"(?:ignore|disregard|forget|override|bypass)\b.{{0,40}}?\b{_THEIRS}\b.{{0,30}}?\b{_ORDERS}",
        ),
        (
            ("ignorier", "vergiss", "missachte"),
            r"(?:ignoriere?|vergiss|missachte)\b.{0,40}?\b(?:anweisung|regel|vorgabe)\w*",
        ),
        (("ignore", "oublie"), r"(?:ignore[zr]?|oublie[zr]?)\b.{0,40}?\b(?:consignes?|règles?|instructions)"),
        (("ignora", "olvida", "omite"), r"(?:ignora|olvida|omite)\b.{0,40}?\b(?:instrucciones|reglas|órdenes)"),
        # Being somebody without them.
        (
            ("you are ",),
            r"you are (?:now|no longer)\b.{0,40}?\b(?:dan|unrestricted|unfiltered|jailbroken|bound|an? ai)\b",
        ),
        (
            ("restrict", " rules", "filters"),
            rf"(?:pretend|act|behave)\b.{{0,20}}?\b(?:as if|like|to be)\b.{{0,40}}?\b{_FREE}",
        ),
        ((" mode",), r"(?:enable|enter|activate|switch to)\b.{0,20}?\b(?:developer|dan|god|debug|jailbreak|sudo) mode"),
        # Asking for the orders themselves.
        (
            ("prompt", "system message", "instructions"),
            rf"(?:reveal|print|show|repeat|output|leak|tell me|what is)\b.{{0,30}}?\b{_YOURS}\b.{{0,20}}?\b{_HIDDEN}",
        ),
        ((" above",), r"repeat (?:everything|the text|all|the words) above"),
        # Speaking in another's voice.
        (("<|",), r"<\|(?:im_start|im_end|system|endoftext)\|>"),
        (("inst]", "sys]", "sys>>"), r"\[/?(?:inst|sys)\]|<</?sys>>"),
        (
            ("system", "assistant"),
            r"(?:^|\n)\s{0,8}(?:#{1,4}\s{0,4})?(?:system|assistant)\s{0,4}:\s{0,4}(?:you|ignore|new)\b",
        ),
        (("new ",), r"new (?:system )?instructions?\s{0,4}:"),
    )
)
"""Words of which one must stand in the text for a pattern to be worth trying, and the pattern; all in lower case."""
_INVISIBLE: Final = re.compile("[\U000e0000-\U000e007f]{3,64}|[\u202a-\u202e\u2066-\u2069]")
"""Letters that people do not see and models read; text that turns around."""


class Injection:
    """A Check for the well-known ways."""

    longest = LONGEST

    def find(self, text: str, /) -> Sequence[Find]:
        folded = text.lower()
        if len(folded) != len(text):  # a letter has become two: places would be wrong
            folded = "".join(each.lower() if len(each.lower()) == 1 else each for each in text)
        found = [
            Find(match.start(), match.end(), "injection")
            for markers, pattern in _WAYS
            if any(marker in folded for marker in markers)
            for match in pattern.finditer(folded)
        ]
        if not text.isascii():
            found += [Find(match.start(), match.end(), "hidden_text") for match in _INVISIBLE.finditer(text)]
        return _apart(found)


def _apart(finds: list[Find]) -> list[Find]:
    """In their order, without those that begin inside another."""
    kept: list[Find] = []
    for find in sorted(finds, key=lambda each: (each.start, -each.end)):
        if not kept or find.start >= kept[-1].end:
            kept.append(find)
    return kept
