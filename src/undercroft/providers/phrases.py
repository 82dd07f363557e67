"""Finds phrases in text, whatever was done to hide them from a plain search: the machinery of the moderation rules.

A pattern is a row of words: `(a|b)` is either, `<name>` one of a named list, a `?` after it makes it optional, and `*`
stands for up to three words. All readings of a pattern are followed at once, so that the time grows with the text's
length and with nothing else.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from undercroft.errors import ConfigurationError

GAP_WORDS: Final = 3
PIECE_CHARACTERS: Final = 8192
"""Text is looked at in pieces of about this size, so that a long one is neither held in memory as words nor in the way
of other threads."""

# Scripts written without spaces: each character is a word, so that a phrase is found inside a sentence.
_UNSPACED: Final = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"[{_UNSPACED}]|(?:[^\W_{_UNSPACED}]|[@$!'])+")
_ELEMENT: Final = re.compile(r"\*|(?:\((?P<either>[^()]+)\)|<(?P<named>[^<>]+)>|(?P<word>[^\s()<>?*|]+))(?P<maybe>\?)?")
_LEET: Final = str.maketrans("4@310!5$7", "aaeioisst")
_LOOKALIKES: Final = str.maketrans("аеорсухіјѕкмнтвαεικνορτυχ", "aeopcyxijskmhtbaeiknoptux")
"""Cyrillic and Greek letters that stand in Latin words to be overlooked."""
_MARKS_FROM: Final = 200
"""Combining class of the accents above and below a letter; lower ones change what a letter is in other scripts."""


_CONTRACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "im": ("i", "am"),
    "ill": ("i", "will"),
    "ima": ("i", "am", "going", "to"),
    "imma": ("i", "am", "going", "to"),
    "ive": ("i", "have"),
    "id": ("i", "would"),
    "youre": ("you", "are"),
    "youll": ("you", "will"),
    "theyre": ("they", "are"),
    "lets": ("let", "us"),
    "dont": ("do", "not"),
    "cant": ("can", "not"),
    "cannot": ("can", "not"),
    "gonna": ("going", "to"),
    "wanna": ("want", "to"),
    "u": ("you",),
    "ya": ("you",),
    "ur": ("your",),
    "urself": ("yourself",),
    "r": ("are",),
}
"""English as it is typed: one way of saying a thing is enough in a pattern."""


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without accents, invisible characters and digits that pose as letters."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
        text = "".join([character for character in text if not _is_decoration(character)])
    words = [word for token in _TOKEN.findall(text.casefold()) if (word := _plain(token))]
    if _CONTRACTIONS.keys().isdisjoint(words):
        return words
    return [each for word in words for each in _CONTRACTIONS.get(word, (word,))]


def _is_decoration(character: str) -> bool:
    return unicodedata.combining(character) >= _MARKS_FROM or unicodedata.category(character) == "Cf"


def _plain(token: str) -> str:
    if token.isalpha() and token.isascii():
        return token
    word = token.rstrip("!@'").lstrip("!'").replace("'", "")
    if not word.isascii() and any("a" <= letter <= "z" for letter in word):
        word = word.translate(_LOOKALIKES)
    return word if word.isalpha() or not any(letter.isalpha() for letter in word) else word.translate(_LEET)


@dataclass(frozen=True, slots=True)
class Element:
    """One step of a pattern: some words, that may be missing; without words, a gap."""

    words: frozenset[str]
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Phrase:
    """A pattern, ready to be looked for."""

    elements: tuple[Element, ...]

    def is_at(self, words: Sequence[str], place: int) -> bool:
        """Whether it begins with the word at `place`."""
        places = {place}
        for element in self.elements:
            if not element.words:
                places = {at + step for at in places for step in range(GAP_WORDS + 1)}
                continue
            found = {at + 1 for at in places if at < len(words) and words[at] in element.words}
            places = places | found if element.is_optional else found
            if not places:
                return False
        return True

    @property
    def longest(self) -> int:
        """The most words it can take."""
        return sum(1 if element.words else GAP_WORDS for element in self.elements)


def plain_phrase(text: str) -> Phrase:
    """A phrase without any signs of its own: the words as they stand."""
    return Phrase(tuple([Element(frozenset([word])) for word in words_of(text)]))


def parse(pattern: str, lists: Mapping[str, Collection[str]]) -> Phrase:
    """A pattern as the rules write it. Raises ConfigurationError for what is none."""
    elements: list[Element] = []
    position = 0
    for found in _ELEMENT.finditer(pattern):
        if pattern[position : found.start()].strip():
            break
        position = found.end()
        elements += _elements(found, lists)
    is_all = not pattern[position:].strip()
    if not is_all or not elements or not elements[0].words or elements[0].is_optional:
        raise ConfigurationError(f"'{pattern}' is no pattern: it must begin with a word that is not optional.")
    return Phrase(tuple(elements))


def _elements(found: re.Match[str], lists: Mapping[str, Collection[str]]) -> list[Element]:
    if found[0] == "*":
        return [Element(frozenset())]
    is_optional = found["maybe"] is not None
    if found["word"]:
        return [Element(frozenset([word]), is_optional=is_optional) for word in words_of(found["word"])]
    words: set[str] = set()
    for either in lists.get(found["named"], ()) if found["named"] else found["either"].split("|"):
        inner = _ELEMENT.fullmatch(either)
        named = inner["named"] if inner else None
        for one in lists.get(named, ()) if named else [either]:
            read = words_of(one)
            if len(read) != 1:
                raise ConfigurationError(f"'{one}' is not one word, and only one may stand in a list.")
            words.update(read)
    if not words:
        raise ConfigurationError(f"{found[0]} is no list of the rules.")
    return [Element(frozenset(words), is_optional=is_optional)]


class Index:
    """Many phrases, found by their first words."""

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        self._by_first: dict[str, list[tuple[int, Phrase]]] = {}
        for number, phrase in enumerate(phrases):
            for word in phrase.elements[0].words:
                self._by_first.setdefault(word, []).append((number, phrase))
        self._longest = max((phrase.longest for phrase in phrases), default=1)

    def find(self, text: str) -> set[int]:
        """Which of the phrases the text has, by their numbers."""
        found: set[int] = set()
        words: list[str] = []
        for piece in _pieces(text):
            # The end of the last piece again: a phrase may lie across the border.
            words = words[-self._longest :] + words_of(piece)
            for place, word in enumerate(words):
                for number, phrase in self._by_first.get(word, ()):
                    if number not in found and phrase.is_at(words, place):
                        found.add(number)
        return found


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that end at a space, where there is one."""
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        space = text.find(" ", start + PIECE_CHARACTERS, start + 2 * PIECE_CHARACTERS)
        end = space if space >= 0 else start + 2 * PIECE_CHARACTERS
        yield text[start:end]
        start = end
    yield text[start:]
