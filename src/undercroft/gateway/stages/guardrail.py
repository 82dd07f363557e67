"""Holds a call to the guardrails of the release that answers it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from undercroft.gateway.call import Call, Handler
from undercroft.gateway.stages.guard import Guard, Tell
from undercroft.guards.guard import Rule
from undercroft.llm.reply import Reply
from undercroft.versions.content import GuardrailContent

KEPT: Final = 256
"""Releases whose guards are kept ready."""


class Guardrail:
    """Beside the operator's own guards, which hold whatever is released. `make` makes rules of what a version says."""

    def __init__(self, make: Callable[[GuardrailContent], Sequence[Rule]], *, tell: Tell) -> None:
        self._make = make
        self._tell = tell
        self._guards: dict[str, Guard] = {}

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        guard = self._of(call)
        return proceed(call) if guard is None else guard(call, proceed)

    def admitted(self, call: Call) -> Call:
        """As `Guard.admitted`, by the release's guards."""
        guard = self._of(call)
        return call if guard is None else guard.admitted(call)

    def _of(self, call: Call) -> Guard | None:
        pinned = call.pinned
        if pinned is None or pinned.guardrail is None:
            return None
        guard = self._guards.get(pinned.id)  # an id is the hash of all that is pinned: it never means anything else
        if guard is None:
            if len(self._guards) >= KEPT:
                self._guards.clear()
            guard = self._guards[pinned.id] = Guard(self._make(pinned.guardrail), tell=self._tell)
        return guard
