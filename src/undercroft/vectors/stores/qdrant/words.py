"""Texts as sparse vectors, so that Qdrant's search by them ranks as BM25 does.

Our side gives each word of a text its saturated frequency; how rare it is in the collection Qdrant multiplies in
(`modifier: idf`). See Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), 3.4.
"""

import re
from collections import Counter
from typing import Final
from zlib import crc32

from undercroft.vectors.stores.qdrant.engine import Sparse

SATURATION: Final = 1.2
LENGTH_SHARE: Final = 0.75
USUAL_WORDS: Final = 80
"""Words of a passage, as these are cut here: the mean is not known while they come in."""
ENDINGS: Final = ("ing", "ed", "es", "s")
SHORTEST_STEM: Final = 4


def of_text(text: str) -> Sparse:
    """The words of a stored text."""
    words = _words(text)
    length = 1 - LENGTH_SHARE + LENGTH_SHARE * len(words) / USUAL_WORDS
    counts = Counter(words)
    return Sparse(list(counts), [times * (SATURATION + 1) / (times + SATURATION * length) for times in counts.values()])


def of_query(text: str) -> Sparse:
    """The words that are looked for."""
    words = list(dict.fromkeys(_words(text)))
    return Sparse(words, [1.0] * len(words))


def _words(text: str) -> list[int]:
    return [crc32(_stem(word).encode()) for word in re.findall(r"\w+", text.lower())]


def _stem(word: str) -> str:
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_STEM:
            return word.removesuffix(ending)
    return word
