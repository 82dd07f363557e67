"""The built-in moderation: a small set of rules that needs no model, no network and no key.

It is in every catalogue and rarely called: what only judging needs is imported for the first judgement.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Final

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk, ModerationRequest, Part, Usage, Verdict
from undercroft.llm.unsupported import Unsupported

if TYPE_CHECKING:
    from undercroft.providers.phrases import Phrase

QUALITY: Final = "rules"
LABEL: Final = "undercroft-rules"
"""What the answer names as its model: nobody shall take these rules for one."""
DESCRIPTION: Final = "Words and phrases, not a model: it sees no context, and no images."

FLAGGED_FROM: Final = 0.5
MAX_CHARACTERS: Final = 500_000
"""Of all texts of a call. A text made to be slow takes 10 us a character, and nobody can call that off."""
OFF_LOOP_CHARACTERS: Final = 8192
"""Longer texts are judged in a thread: on the event loop they would hold up every other call."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's own phrases of one category."""

    category: str
    phrases: tuple[str, ...]
    score: float


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Patterns that say the same thing: however many of them a text has, the score counts once."""

    categories: tuple[str, ...]
    score: float
    patterns: tuple[str, ...]


class _RuleFile(msgspec.Struct, frozen=True):
    lists: dict[str, tuple[str, ...]]
    rules: tuple[Rule, ...]


class Rules:
    """A ModerationProvider. The same text always gets the same scores. Texts only: images are refused, or dropped."""

    def __init__(self, terms: Iterable[Terms] = (), *, drop_unsupported: bool = False) -> None:
        self._terms = tuple(terms)
        self._drop = drop_unsupported
        self._judge: Judge | None = None
        """Made at the first call, which takes 40 ms: most servers never need it."""

    async def moderate(self, request: ModerationRequest, /) -> Reply:
        unsupported = Unsupported(LABEL, drop=self._drop)
        texts = [_text(piece, unsupported) for piece in request.inputs]
        length = sum(map(len, texts))
        if length > MAX_CHARACTERS:
            raise InvalidRequest(
                f"The rules take {MAX_CHARACTERS} characters in one call, and these texts have {length}.",
                code="string_above_max_length",
                param="input",
                hint="Send them in several calls.",
            )
        if self._judge is None or length > OFF_LOOP_CHARACTERS:
            verdicts = await asyncio.to_thread(self._verdicts, texts)
        else:
            verdicts = self._verdicts(texts)
        return Reply(
            whole=Chunk(verdicts=verdicts, usage=Usage(), model=LABEL, whole=True), dropped=tuple(unsupported.names)
        )

    def _verdicts(self, texts: list[str]) -> tuple[Verdict, ...]:
        if self._judge is None:
            self._judge = Judge(self._terms)
        return tuple([self._judge.verdict(text) for text in texts])


def _text(piece: str | tuple[Part, ...], unsupported: Unsupported) -> str:
    if isinstance(piece, str):
        return piece
    for part in piece:
        if part.type != "text":
            unsupported.note(f"input[].{part.type}", why="Its rules read text only.")
    return "\n".join(part.text for part in piece if part.type == "text")


class Judge:
    """All rules, ready to be applied."""

    def __init__(self, terms: Iterable[Terms] = ()) -> None:
        from undercroft.providers.phrases import Index, parse, plain_phrase

        lists, rules = built_in()
        phrases: list[Phrase] = []
        self._rule_of: list[int] = []
        """By the phrase's number."""
        self._rules: list[tuple[tuple[str, ...], float]] = []
        for rule in rules:
            self._add(rule.categories, rule.score, [parse(each, lists) for each in rule.patterns], phrases)
        for term in terms:
            self._add((term.category,), term.score, [plain_phrase(each) for each in term.phrases], phrases)
        self._index = Index(phrases)

    def _add(
        self, categories: tuple[str, ...], score: float, found_by: "Iterable[Phrase]", phrases: "list[Phrase]"
    ) -> None:
        for phrase in found_by:
            phrases.append(phrase)
            self._rule_of.append(len(self._rules))
        self._rules.append((categories, score))

    def verdict(self, text: str) -> Verdict:
        applying = {self._rule_of[number] for number in self._index.find(text)}
        scores = scored([self._rules[number] for number in sorted(applying)])
        categories = {name: score >= FLAGGED_FROM for name, score in scores.items()}
        return Verdict(
            flagged=any(categories.values()),
            categories=categories,
            scores=scores,
            applied_to={name: ["text"] for name in scores},
        )


def scored(applying: Iterable[tuple[tuple[str, ...], float]]) -> dict[str, float]:
    """Each category's score: as if every rule that applies were right by itself with its own probability.

    What belongs to `violence/graphic` belongs to `violence` too.
    """
    from undercroft.wire.openai.moderations import CATEGORIES

    doubts: dict[str, list[float]] = {name: [] for name in CATEGORIES}
    for categories, score in applying:
        for category in categories:
            doubts[category].append(1.0 - score)
    scores = {name: round(1.0 - prod(each), 6) for name, each in doubts.items()}
    for name in CATEGORIES:
        parent = name.partition("/")[0]
        scores[parent] = max(scores[parent], scores[name])
    return scores


@cache
def built_in() -> tuple[Mapping[str, tuple[str, ...]], tuple[Rule, ...]]:
    """The lists and rules of the data file."""
    import tomllib
    from importlib.resources import files

    source = files("undercroft.providers").joinpath("rules.toml").read_text("utf-8")
    read = msgspec.convert(tomllib.loads(source), _RuleFile)
    return read.lists, read.rules
