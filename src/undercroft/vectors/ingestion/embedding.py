"""What makes vectors of passages, and texts that are longer than its model takes."""

import math
from collections.abc import Sequence
from typing import Protocol

from undercroft.vectors.ingestion.chunking import Tokens
from undercroft.vectors.types import Vector, vector_of


class Embed(Protocol):
    """Makes vectors of texts, in their order. Raises what its model does."""

    async def __call__(self, texts: Sequence[str], /) -> "list[Vector[float]]": ...


class Model:
    """An embedding model: how it counts, how much it takes at once, and what it makes."""

    def __init__(self, name: str, embed: Embed, tokens: Tokens, *, longest: int, best: int) -> None:
        """`longest` tokens fit into one text; up to `best` it does well."""
        self.name = name
        self.tokens = tokens
        self.longest = longest
        self.best = best
        self._embed = embed

    async def embed(self, texts: Sequence[str]) -> "list[Vector[float]]":
        """A vector for each text; of one that is too long, the mean of its pieces' at length 1."""
        pieces = [self._pieces(text) for text in texts]
        made = iter(await self._embed([piece for several in pieces for piece in several]))
        return [mean([next(made) for _ in several]) for several in pieces]

    def _pieces(self, text: str) -> list[str]:
        if len(text) <= self.longest:  # no token is shorter than a character
            return [text]
        spans = self.tokens(text)
        if len(spans) <= self.longest:
            return [text]
        count = -(-len(spans) // self.longest)
        each = -(-len(spans) // count)
        return [
            text[spans[start][0] : spans[min(start + each, len(spans)) - 1][1]] for start in range(0, len(spans), each)
        ]


def mean(vectors: "Sequence[Vector[float]]") -> "Vector[float]":
    """The vectors' mean at length 1; a single one as it is."""
    if len(vectors) == 1:
        return vectors[0]
    summed = [sum(numbers) for numbers in zip(*vectors, strict=True)]
    length = math.sqrt(sum(number * number for number in summed)) or 1.0
    return vector_of(number / length for number in summed)
