"""What must be the same in two questions before one's answer may be given to the other.

A vector alone cannot tell `in 2023` from `in 2024`, `is` from `is not`, Paris from London: such questions are near to
each other, and their answers are not. So every word is a fact unless it stands in the short lists below of words that
only frame a question; numbers, negations, names and all words that nobody thought of are facts by not being listed.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 500
"""Characters of a question; what is longer says too much in its framing."""

Facts = tuple[str, ...]

_CODE: Final = re.compile(r"[`{}\[\]<>=;\\|_^~@#\n\t]")
"""Text with these is code, markup or a table: there every character counts."""
_NUMBER: Final = r"\d+(?:[.,:/]\d+)*"
_WORD: Final = r"[^\W\d_]+(?:['\-][^\W\d_]+)*"
_PIECE: Final = re.compile(rf"{_NUMBER}|{_WORD}|\S")
_NEUTRAL_SIGNS: Final = frozenset(",.?")
_ASKING: Final = (
    "i would like to know", "i want to know", "i need to know", "please let me know", "please tell me",
    "please explain", "could you please tell me", "can you please tell me", "would you please tell me",
    "could you tell me",
    "can you tell me", "would you tell me", "can you explain", "could you explain", "do you know", "let me know",
    "tell me", "show me", "give me", "please",
)  # fmt: skip
"""How a question may begin, the longest of several first."""
_BEGINNING: Final = re.compile(
    r"\s*(?:(?:[Hh]ello|[Hh]i|[Hh]ey)(?: there)?\s*[,.!]\s*)?(?:(?:"
    + "|".join(f"[{words[0].upper()}{words[0]}]{words[1:]}" for words in _ASKING)
    + r")\b(?:\s*[,:]|(?=\s+[^A-Z])))?\s*"
)
"""A word in capitals after it belongs to a name: Please Please Me."""
_END: Final = re.compile(r"\s*[,.!?]\s*(?:please|thanks|thank you|many thanks)[\s.!?]*$", re.IGNORECASE)
_WORDS: Final = frozenset({"a", "an", "the", "is", "are", "do", "does", "of", "what", "which", "explain", "describe"})
_SPELLINGS: Final = {
    "e-mail": "email", "e-mails": "emails", "grey": "gray", "colour": "color", "colours": "colors", "large": "big",
    "begin": "start", "begins": "starts", "purchase": "buy", "photo": "picture", "photos": "pictures",
    "tv": "television", "okay": "ok", "cannot": "can not", "can't": "can not", "won't": "will not",
    "shan't": "shall not", "i'm": "i am",
}  # fmt: skip
"""One word for another, where nobody means two things by them."""
_SHORTENED: Final = ("n't", " not"), ("'s", ""), ("'re", " are"), ("'ve", " have"), ("'ll", " will")


def facts_of(text: str) -> Facts | None:
    """The facts of a question in their order; None where only the very same text will do."""
    if len(text) > LONGEST or _CODE.search(text.strip()):
        return None
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    return tuple(_facts(plain)) or None


def _facts(text: str) -> Iterator[str]:
    is_first = True
    for piece in _PIECE.findall(_unframed(text)):
        if piece in _NEUTRAL_SIGNS:
            is_first = piece != ","
            continue
        if len(piece) > 1 and piece.isupper():  # US is not us
            yield piece
        else:
            is_named = piece[0].isupper() and not is_first  # vitamin A, The Who
            for word in _spelled(piece.casefold()).split():
                if is_named or word not in _WORDS:
                    yield word
        is_first = False


def _unframed(text: str) -> str:
    """Without the words that ask, where they stand at the beginning or, after a comma, at the end."""
    text = _END.sub("", text)
    begun = _BEGINNING.match(text)
    return text[begun.end() :] if begun else text


def _spelled(word: str) -> str:
    known = _SPELLINGS.get(word)
    if known is not None:
        return known
    for ending, meant in _SHORTENED:
        if word.endswith(ending) and word != ending:
            return word.removesuffix(ending) + meant
    return word
