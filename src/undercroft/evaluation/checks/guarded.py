"""Checks that guards make: pii. (What is toxic is said by `moderation`.)"""

from undercroft.evaluation.check import Tools, marked
from undercroft.evaluation.types import Answer, Case, Mark
from undercroft.guards.pii import KINDS, PersonalData


class Pii:
    """No personal data is in the answer: `pii`, or `{"pii": ["email", "card"]}` for some kinds only."""

    def __init__(self, value: object) -> None:
        kinds = KINDS if value is None else value
        if not isinstance(kinds, list | tuple) or not kinds or not all(each in KINDS for each in kinds):
            raise ValueError(f"it wants a list of {', '.join(KINDS)}, or nothing for all")
        self._guard = PersonalData(kinds)

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        found = dict.fromkeys(find.what for find in self._guard.find(answer.text))
        return marked("pii", not found, ", ".join(found))
