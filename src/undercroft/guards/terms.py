"""Words and phrases that an operator does not want to pass."""

import re
from collections.abc import Sequence

from undercroft.guards.types import Find


class BlockedTerms:
    """A Check for whole words and phrases, whatever their case; spaces stand for any white space."""

    def __init__(self, terms: Sequence[str]) -> None:
        ordered = sorted({term.strip() for term in terms if term.strip()}, key=len, reverse=True)
        pattern = "|".join(r"\s{1,5}".join(re.escape(word) for word in term.split()) for term in ordered)
        self._pattern = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE) if ordered else None
        self.longest = max((len(term) + 5 * len(term.split()) for term in ordered), default=0)

    def find(self, text: str, /) -> Sequence[Find]:
        if self._pattern is None:
            return ()
        return [Find(match.start(), match.end(), "term") for match in self._pattern.finditer(text)]
