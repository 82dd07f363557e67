"""What a check is, and what it may use."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Final, Protocol

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.evaluation.types import Answer, Asking, Case, CheckSpec, Mark, Message

GROUP: Final = "undercroft.eval_checks"


class Moderated(msgspec.Struct, frozen=True):
    """What a moderation model says: whether, and of which categories."""

    flagged: bool
    categories: tuple[str, ...] = ()


class Tools(Protocol):
    """Models and stores, for checks that need them. Raises UndercroftError kinds."""

    async def ask(self, model: str, messages: Sequence[Message], asking: Asking, /) -> Answer: ...

    async def embed(self, model: str, texts: Sequence[str], /) -> list[list[float]]:
        """Vectors of length 1."""
        ...

    async def moderate(self, model: str, text: str, /) -> Moderated: ...

    async def search(self, collection: str, query: str, count: int, /) -> list[str]:
        """Ids of what is found, best first."""
        ...


class Check(Protocol):
    """Says what an answer is worth. Made once for each case, before anything is asked.

    The class is called with the check's value and raises ValueError for one that it cannot use.
    """

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark: ...


class Making(Protocol):
    """A class of checks."""

    def __call__(self, value: object, /) -> Check: ...


class Checks:
    """All that there are, by name; those of other packages come by the entry-point group `undercroft.eval_checks`."""

    def __init__(self, built_in: Mapping[str, Making]) -> None:
        self._making = dict(built_in)
        for found in entry_points(group=GROUP):
            self._making.setdefault(found.name, found.load())

    def of(self, case: Case) -> list[Check]:
        """The checks of a case. Raises InvalidRequest, which names the case."""
        return [self._make(spec, case) for spec in case.checks]

    def _make(self, spec: CheckSpec, case: Case) -> Check:
        making = self._making.get(spec.kind)
        if making is None:
            known = ", ".join(sorted(self._making))
            raise InvalidRequest(f"Case '{case.id}': there is no check '{spec.kind}'; there are {known}.")
        try:
            return making(spec.value)
        except (ValueError, TypeError) as error:
            raise InvalidRequest(f"Case '{case.id}': {spec.kind}: {error}.") from error


def marked(check: str, passed: object, note: str = "", *, score: float | None = None, cost_nano: int = 0) -> Mark:
    """A mark whose score is 1 or 0, unless it is given."""
    return Mark(
        check=check,
        passed=bool(passed),
        score=float(bool(passed)) if score is None else score,
        note=note,
        cost_nano=cost_nano,
    )
