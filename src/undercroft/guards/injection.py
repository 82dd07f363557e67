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
_ORDERS: Final = "(?:instructions?|prompts?|rules?|directions?|guidelines?|orders?|messages?)"
_YOURS: Final = "(?:your|the|initial|hidden|original)"
_HIDDEN: Final = "(?:system prompt|system message|hidden prompt|initial instructions|original instructions)"
_FREE: Final = "(?:no (?:rules|restrictions|filters)|unrestricted)"
_ASKS: Final = "(?:reveal|print|show|repeat|output|leak|tell me|what (?:is|are|were))"
_WAYS: Final = (
    # Setting the orders aside.
    rf"(?:ignore|disregard|forget|override|bypass)\b.{{0,40}}?\b{_THEIRS}\b.{{0,30}}?\b{_ORDERS}",
    r"(?:ignoriere?|vergiss|missachte)\b.{0,40}?\b(?:anweisung|regel|vorgabe|befehl)\w*",
    r"(?:ignore[zr]?|oublie[zr]?)\b.{0,40}?\b(?:instructions?|consignes?|règles?)",
    r"(?:ignora|olvida|omite)\b.{0,40}?\b(?:instrucciones|reglas|órdenes)",
    # Being somebody without them.
    r"you are (?:now|no longer)\b.{0,40}?\b(?:dan|unrestricted|unfiltered|jailbroken|developer mode|bound|an? ai)\b",
    rf"(?:pretend|act|behave)\b.{{0,20}}?\b(?:as if|like|to be)\b.{{0,40}}?\b{_FREE}",
    r"(?:enable|enter|activate|switch to)\b.{0,20}?\b(?:developer|dan|god|debug|jailbreak|sudo) mode",
    # Asking for the orders themselves.
    rf"{_ASKS}\b.{{0,30}}?\b{_YOURS}\b.{{0,20}}?\b{_HIDDEN}",
    r"repeat (?:everything|the text|all|the words) above",
    # Speaking in another's voice.
    r"<\|(?:im_start|im_end|system|endoftext)\|>",
    r"\[/?(?:INST|SYS)\]|<</?SYS>>",
    r"(?:^|\n)\s{0,8}(?:#{1,4}\s{0,4})?(?:system|assistant)\s{0,4}:\s{0,4}(?:you|ignore|new)\b",
    r"new (?:system )?instructions?\s{0,4}:",
)
_WAY: Final = re.compile("|".join(f"(?:{way})" for way in _WAYS), re.IGNORECASE | re.DOTALL)
_INVISIBLE: Final = re.compile("[\U000e0000-\U000e007f]{3,64}|[\u202a-\u202e\u2066-\u2069]")
"""Letters that people do not see and models read; text that turns around."""


class Injection:
    """A Check for the well-known ways."""

    longest = LONGEST

    def find(self, text: str, /) -> Sequence[Find]:
        found = [Find(match.start(), match.end(), "injection") for match in _WAY.finditer(text)]
        if not text.isascii():
            found += [Find(match.start(), match.end(), "hidden_text") for match in _INVISIBLE.finditer(text)]
            found.sort(key=lambda each: each.start)
        return found
