"""A guard: checks with what is done about their finds, over whole texts and over streams."""

from collections.abc import Iterator, Sequence

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.guards.types import MASK, Action, Check, Find, Side


class Blocked(InvalidRequest):
    """A guard of the operator's refuses what is in a prompt or an answer."""

    code = "guard_blocked"
    found = ""
    """`rule:kind`, as in `Looked`."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One check and what its finds lead to; None is all."""

    name: str
    check: Check
    action: Action
    sides: frozenset[Side]
    keys: frozenset[str] | None = None
    routes: frozenset[str] | None = None
    models: frozenset[str] | None = None

    def concerns(self, side: Side, *, key: str, route: str, model: str) -> bool:
        """Whether it is for a call like this."""
        return (
            side in self.sides
            and (self.keys is None or key in self.keys)
            and (self.routes is None or route in self.routes)
            and (self.models is None or model in self.models)
        )


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A text after all rules: as it may pass, and what was found in it (`pii:email`)."""

    text: str
    found: tuple[str, ...] = ()


def look(text: str, rules: Sequence[Rule], *, side: Side) -> Looked:
    """Applies the rules one after the other. Raises Blocked, which names the rule and never what was found."""
    found: list[str] = []
    for rule in rules:
        finds = rule.check.find(text)
        if not finds:
            continue
        found += [f"{rule.name}:{find.what}" for find in finds]
        if rule.action == "block":
            raise refusal(rule, finds[0], side=side)
        if rule.action == "mask":
            text = masked(text, finds)
    return Looked(text=text, found=tuple(dict.fromkeys(found)))


def masked(text: str, finds: Sequence[Find]) -> str:
    """`text` with `[email]` where one was."""
    pieces: list[str] = []
    end = 0
    for find in finds:
        pieces += (text[end : find.start], MASK.format(find.what))
        end = find.end
    return "".join([*pieces, text[end:]])


def refusal(rule: Rule, find: Find, *, side: Side) -> Blocked:
    where = "request" if side == "input" else "answer"
    blocked = Blocked(
        f"The {where} was blocked by the guard '{rule.name}': it holds something of the kind '{find.what}'.",
        hint="The operator's [[guards.rules]] say so, or the guardrails of the release that answers.",
    )
    blocked.found = f"{rule.name}:{find.what}"
    return blocked


class Window:
    """Looks at one text as it comes in pieces: what may be the beginning of a find waits until it is decided.

    Rules that want the whole text (`longest` 0) get it at the end, when all has been passed on: they can flag, and
    block what is still to come. Where such a rule is there, the text is kept.
    """

    __slots__ = ("_held", "_longest", "_of_pieces", "_of_whole", "_passed", "found")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._of_pieces = [rule for rule in rules if rule.check.longest]
        self._of_whole = [rule for rule in rules if not rule.check.longest]
        self._longest = max((rule.check.longest for rule in self._of_pieces), default=0)
        self._held = ""
        self._passed = ""
        self.found: tuple[str, ...] = ()

    def take(self, piece: str) -> str:
        """The part of the text that is decided now. Raises Blocked."""
        if not self._of_pieces:
            return self._let(piece)
        self._held += piece
        cut = len(self._held) - self._longest
        if cut <= 0:
            return ""
        cut = self._outside_finds(cut)
        return self._let(self._looked(cut)) if cut > 0 else ""

    def end(self) -> str:
        """The rest. Raises Blocked."""
        rest = self._let(self._looked(len(self._held)) if self._held else "")
        if self._of_whole:
            self._note(look(self._passed, self._of_whole, side="output"))
        return rest

    def _looked(self, cut: int) -> str:
        """What stands before `cut`, with the rest as context: a find that reaches over it is none that ends there."""
        head, self._held = self._held[:cut], self._held[cut:]
        looked = look(head, self._of_pieces, side="output")
        self._note(looked)
        return looked.text

    def _outside_finds(self, cut: int) -> int:
        """The last place up to `cut` that is in the middle of no word and no find."""
        for find in self._finds():
            if find.start < cut < find.end:
                cut = find.start
        before = self._between_words(cut)
        for find in self._finds():
            if find.start < before < find.end:
                before = find.start
        return before

    def _between_words(self, cut: int) -> int:
        """The last place up to `cut` behind a blank, but not one behind a number: the next may belong to it."""
        boundary = cut
        while boundary > max(0, cut - self._longest):
            boundary = max(self._held.rfind(" ", 0, boundary), self._held.rfind("\n", 0, boundary))
            if boundary < 0:
                break
            if not self._held[boundary - 1 : boundary].isdigit():
                return boundary + 1
        return cut

    def _finds(self) -> Iterator[Find]:
        for rule in self._of_pieces:
            yield from rule.check.find(self._held)

    def _let(self, text: str) -> str:
        if self._of_whole:
            self._passed += text
        return text

    def _note(self, looked: Looked) -> None:
        self.found = tuple(dict.fromkeys((*self.found, *looked.found)))
