"""Personal data in texts: e-mail addresses, phone numbers, payment cards, IBANs, IP addresses.

Patterns are linear, and what has a check digit is checked: a card by Luhn's formula (ISO/IEC 7812-1, annex B), an IBAN
by its remainder of 97 (ISO 13616). Names of people need a model of language (`names.py`).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Final, Literal

from undercroft.guards.types import Find

Kind = Literal["email", "phone", "card", "iban", "ip"]
KINDS: Final[tuple[Kind, ...]] = ("email", "phone", "card", "iban", "ip")
LONGEST: Final = 128
SHORTEST_CARD: Final = 13
LONGEST_CARD: Final = 19

_DIGIT: Final = re.compile(r"\d")
_NOTHING: Final = "\0"
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
# Each begins with the characters that it may begin with, and looks at what stands before afterwards: `re` then skips
# to those, and is ten times faster.
_DIGITS: Final = re.compile(r"\d(?<!\w\d)(?:[ -]?\d){12,}(?!\w)")
_GROUP: Final = re.compile(r"\d+")
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
    if not SHORTEST_CARD <= len(digits) <= LONGEST_CARD or len(set(digits)) == 1:
        return False
    doubled = [digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4) for place, digit in enumerate(digits[::-1])]
    return sum(doubled) % 10 == 0


def cards_in(text: str) -> Iterator[tuple[int, int]]:
    """Where cards are: other numbers may stand right before and behind one, so each group of digits may begin it."""
    for stretch in _DIGITS.finditer(text):
        groups = [(each.start(), each.end()) for each in _GROUP.finditer(text, *stretch.span())]
        place = 0
        while place < len(groups):
            last = _card_at(text, groups, place)
            if last is not None:
                yield groups[place][0], groups[last][1]
                place = last
            place += 1


def _card_at(text: str, groups: Sequence[tuple[int, int]], place: int) -> int | None:
    """The last group of the longest card that begins with this one."""
    count, found = 0, None
    for last in range(place, len(groups)):
        count += groups[last][1] - groups[last][0]
        if count > LONGEST_CARD:
            break
        if count >= SHORTEST_CARD and is_card(text[groups[place][0] : groups[last][1]]):
            found = last
    return found


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


def _spans(pattern: re.Pattern[str], is_right: Callable[[str], bool]) -> Callable[[str], Iterator[tuple[int, int]]]:
    return lambda text: (match.span() for match in pattern.finditer(text) if is_right(match[0]))


_FINDERS: Final[Mapping[Kind, tuple[tuple[Callable[[str], Iterator[tuple[int, int]]], str], ...]]] = {
    # The marker must stand in the text for the pattern to be worth trying; empty: a digit.
    "email": ((_spans(_EMAIL, _always), "@"),),
    "card": ((cards_in, ""),),
    "iban": ((_spans(_IBAN, is_iban), ""),),
    "ip": ((_spans(_IP4, _is_ip), "."), (_spans(_IP6, _is_ip), ":")),
    "phone": ((_spans(_PHONE_ABROAD, _is_phone), ""), (_spans(_PHONE_AT_HOME, _is_phone), "")),
}
"""In the order in which a stretch that could be several is taken for one."""


class PersonalData:
    """A Check for some kinds of personal data."""

    longest = LONGEST

    def __init__(self, kinds: Sequence[Kind] = KINDS) -> None:
        self._finders = [(kind, *each) for kind, some in _FINDERS.items() if kind in kinds for each in some]

    def find(self, text: str, /) -> Sequence[Find]:
        has_digit = _DIGIT.search(text) is not None
        found: list[Find] = []
        left = text
        for kind, find, marker in self._finders:
            if (marker in text) if marker else has_digit:
                some = [Find(start, end, kind) for start, end in find(left)]
                found += some
                left = _without(left, some)
        return sorted(found, key=lambda each: each.start)


def _without(text: str, finds: Sequence[Find]) -> str:
    """The same length, with nothing where something was found: it is nothing else as well."""
    pieces: list[str] = []
    end = 0
    for find in finds:
        pieces += (text[end : find.start], _NOTHING * (find.end - find.start))
        end = find.end
    return "".join([*pieces, text[end:]])
