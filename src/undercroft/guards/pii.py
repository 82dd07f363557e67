"""Personal data in texts: e-mail addresses, phone numbers, payment cards, IBANs, IP addresses.

Patterns are linear, and what has a check digit is checked: a card by Luhn's formula (ISO/IEC 7812-1, annex B), an IBAN
by its remainder of 97 (ISO 13616). Names of people need a model of language and are left to guards of your own.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Final, Literal

from undercroft.guards.types import Find

Kind = Literal["email", "phone", "card", "iban", "ip"]
KINDS: Final[tuple[Kind, ...]] = ("email", "phone", "card", "iban", "ip")
LONGEST: Final = 128

_DIGIT: Final = re.compile(r"\d")
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
# Each begins with the characters that it may begin with, and looks at what stands before afterwards: `re` then skips
# to those, and is ten times faster.
_DIGITS: Final = re.compile(r"\d(?<![\w+]\d)(?:[ -]?\d){12,18}(?!\w)")
_PHONE_ABROAD: Final = re.compile(r"[+0](?<![\w+][+0])(?:(?<=\+)|0)\d(?:[ ()./-]{0,2}\d){6,14}(?!\w)")
_PHONE_AT_HOME: Final = re.compile(
    r"[(\d](?<![\w.-][(\d])(?<!\d [(\d])\d{2,4}\)?[ /.-]\d{3,4}[ .-]\d{3,5}(?!\w|[ .-]\d)"
)
_IBAN: Final = re.compile(r"[A-Z](?<!\w[A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_IP4: Final = re.compile(r"\d(?<![\w.]\d)\d{0,2}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_IP6: Final = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")


def is_card(text: str) -> bool:
    """Whether 13 to 19 digits, perhaps with spaces or dashes, end in Luhn's check digit."""
    digits = [int(character) for character in text if character.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4) for place, digit in enumerate(digits[::-1])]
    return sum(doubled) % 10 == 0


def card_in(digits: str) -> str:
    """The longest beginning of a stretch of digits that is a card, up to one of its spaces or dashes; else nothing.

    Other numbers may stand right behind a card.
    """
    ends = [place for place, character in enumerate(digits) if character in " -"]
    return next((digits[:end] for end in (len(digits), *reversed(ends)) if is_card(digits[:end])), "")


def _whole_if(is_right: Callable[[str], bool]) -> Callable[[str], str]:
    return lambda text: text if is_right(text) else ""


def is_iban(text: str) -> bool:
    """Whether the check digits of an IBAN are right."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1


def _is_ip(text: str) -> bool:
    if not _DIGIT.search(text):
        return False  # `a::b` is one, and far more often a name in a program
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_phone(text: str) -> bool:
    return 7 <= sum(character.isdigit() for character in text) <= 15


def _always(_: str) -> bool:
    return True


_PATTERNS: Final[Mapping[Kind, tuple[tuple[re.Pattern[str], Callable[[str], str], str], ...]]] = {
    # What of a match it is, from its beginning on. The marker must be in a text for its pattern to be worth trying;
    # empty: a digit.
    "email": ((_EMAIL, _whole_if(_always), "@"),),
    "card": ((_DIGITS, card_in, ""),),
    "iban": ((_IBAN, _whole_if(is_iban), ""),),
    "ip": ((_IP4, _whole_if(_is_ip), "."), (_IP6, _whole_if(_is_ip), ":")),
    "phone": ((_PHONE_ABROAD, _whole_if(_is_phone), ""), (_PHONE_AT_HOME, _whole_if(_is_phone), "")),
}
"""In the order in which a stretch that could be several is taken for one."""


class PersonalData:
    """A Check for some kinds of personal data."""

    longest = LONGEST

    def __init__(self, kinds: Sequence[Kind] = KINDS) -> None:
        self._patterns = [(kind, *each) for kind, some in _PATTERNS.items() if kind in kinds for each in some]

    def find(self, text: str, /) -> Sequence[Find]:
        has_digit = _DIGIT.search(text) is not None
        found: list[Find] = []
        for kind, pattern, part_of, marker in self._patterns:
            if (marker in text) if marker else has_digit:
                found += [each for each in self._of(kind, pattern, part_of, text) if not _overlaps(each, found)]
        return sorted(found, key=lambda each: each.start)

    @staticmethod
    def _of(kind: str, pattern: re.Pattern[str], part_of: Callable[[str], str], text: str) -> Iterator[Find]:
        for match in pattern.finditer(text):
            if part := part_of(match[0]):
                yield Find(match.start(), match.start() + len(part), kind)


def _overlaps(one: Find, others: Sequence[Find]) -> bool:
    return any(one.start < other.end and other.start < one.end for other in others)
