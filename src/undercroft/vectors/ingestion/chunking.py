"""Cuts a text into chunks: by its own structure, between sentences, or after so many tokens. Plain functions."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from undercroft.vectors.ingestion.types import Chunk, Document, Mark, Plan

Span = tuple[int, int]
"""Characters, from the first to before the last."""
LONGEST_WORD: Final = 4
"""Characters of a token where the model's own tokenizer is not at hand: OpenAI's rule of thumb for English."""


class Tokens(Protocol):
    """A model's tokenizer, as far as it is needed to count."""

    def __call__(self, text: str, /) -> Sequence[Span]:
        """Where each token stands, in order."""
        ...


_PIECE: Final = re.compile(rf"\w{{1,{LONGEST_WORD}}}|[^\w\s]")


def estimated_tokens(text: str, /) -> Sequence[Span]:
    """Tokens where no tokenizer is at hand: rather too many than too few."""
    return [match.span() for match in _PIECE.finditer(text)]


def chunks_of(document: Document, plan: Plan, tokens: Tokens) -> list[Chunk]:
    """The chunks in the order of the text; each but a long word has at most `plan.size` tokens."""
    counted = _Counted(document.text, tokens(document.text))
    match plan.strategy:
        case "tokens":
            spans = _packed(counted.tokens, counted, plan)
        case "sentences":
            spans = _packed(_sized(_sentences(document.text, 0, len(document.text)), counted, plan), counted, plan)
        case _:
            spans = _by_structure(document, counted, plan)
    return [chunk for span in spans if (chunk := _chunk(document, span, counted)) is not None]


class _Counted:
    """A text with its tokens."""

    def __init__(self, text: str, tokens: Sequence[Span]) -> None:
        self.text = text
        self.tokens = tokens
        self._starts = [start for start, _ in tokens]

    def between(self, start: int, end: int) -> int:
        """How many tokens begin there."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def spans(self, start: int, end: int) -> Sequence[Span]:
        return self.tokens[bisect_left(self._starts, start) : bisect_left(self._starts, end)]


def _by_structure(document: Document, counted: _Counted, plan: Plan) -> Iterator[Span]:
    """Parts stay whole where they fit; small neighbours under the same headings go together."""
    text = document.text
    starts = [mark.start for mark in document.marks] or [0]
    if starts[0] > 0:
        starts.insert(0, 0)
    titles = {mark.start: mark.title for mark in document.marks}
    gathered: Span | None = None
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        if gathered is not None:
            is_akin = titles.get(gathered[0]) == titles.get(start)
            if is_akin and counted.between(gathered[0], end) <= plan.size:
                gathered = (gathered[0], end)
                continue
            yield gathered
            gathered = None
        if counted.between(start, end) <= plan.size:
            gathered = (start, end)
        else:
            yield from _packed(_sized(_blocks(text, start, end, counted, plan), counted, plan), counted, plan)
    if gathered is not None:
        yield gathered


def _blocks(text: str, start: int, end: int, counted: _Counted, plan: Plan) -> Iterator[Span]:
    """Paragraphs; those that are too long by sentence."""
    for first, last in _split(text, start, end, _GAP):
        if counted.between(first, last) <= plan.size:
            yield first, last
        else:
            yield from _sentences(text, first, last)


_GAP: Final = re.compile(r"\n[ \t]*\n\s*")
_END: Final = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|(?<=[\u3002\uff01\uff1f])|\n+")


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    yield from _split(text, start, end, _END)


def _split(text: str, start: int, end: int, between: re.Pattern[str]) -> Iterator[Span]:
    at = start
    for gap in between.finditer(text, start, end):
        if gap.start() > at:
            yield at, gap.end()
        at = max(at, gap.end())
    if at < end:
        yield at, end


def _sized(spans: Iterator[Span], counted: _Counted, plan: Plan) -> list[Span]:
    """What is longer than a chunk, token by token."""
    fitting: list[Span] = []
    for start, end in spans:
        if counted.between(start, end) <= plan.size:
            fitting.append((start, end))
        else:
            fitting += counted.spans(start, end)
    return fitting


def _packed(units: Sequence[Span], counted: _Counted, plan: Plan) -> Iterator[Span]:
    """As many units together as fit; the next chunk begins so many tokens back as the overlap allows."""
    first, place = 0, 0
    while place < len(units):
        start = units[first][0]
        while place < len(units) and counted.between(start, units[place][1]) <= plan.size:
            place += 1
        place = max(place, first + 1)  # a unit of its own, however long
        yield start, units[place - 1][1]
        if place == len(units):
            return
        back = place
        end = units[place - 1][1]
        while back - 1 > first and counted.between(units[back - 1][0], end) <= plan.overlap:
            back -= 1
        # What comes next must fit behind what is repeated, or the chunk would be nothing new.
        while back < place and counted.between(units[back][0], units[place][1]) > plan.size:
            back += 1
        first = back


def _chunk(document: Document, span: Span, counted: _Counted) -> Chunk | None:
    start, end = span
    text = document.text[start:end].strip()
    if not text:
        return None
    mark = _mark_at(document.marks, start)
    return Chunk(text=text, tokens=counted.between(start, end), title=mark.title, page=mark.page)


_NOWHERE: Final = Mark(0)


def _mark_at(marks: Sequence[Mark], start: int) -> Mark:
    place = bisect_right(marks, start, key=lambda mark: mark.start)
    return marks[place - 1] if place else _NOWHERE
