"""Who asks for what a management route is doing, and what it tells the audit log."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from undercroft.access.callers import Caller

if TYPE_CHECKING:
    from undercroft.access.actions import Action
    from undercroft.access.audit import Act, Origin


@dataclass(slots=True)
class Asking:
    """One request."""

    caller: Caller
    address: str
    host: str
    scheme: str
    request: str
    session: str = ""
    """The session's cookie; empty for who came with a key."""
    act: "Act | None" = field(default=None)
    """What the route has done, written by whoever forwards the request, before the answer goes out."""
    is_written: bool = False
    """The route has written its own entry, with the change."""

    @property
    def organisation(self) -> str:
        return self.caller.who.organisation

    @property
    def origin(self) -> "Origin":
        """As the audit log wants it."""
        from undercroft.access.audit import Origin

        return Origin(
            organisation=self.organisation, actor=self.caller.actor, address=self.address, request=self.request
        )


_ASKING: Final[ContextVar[Asking]] = ContextVar("undercroft.asking")


def asking() -> Asking:
    """The request that is being answered."""
    return _ASKING.get()


def organisation() -> str:
    """Whose things the caller may see and change: every query of a management route is bounded by it."""
    return _ASKING.get().organisation


def tell(action: "Action", subject: str = "", *, before: object = None, after: object = None) -> None:
    """What the audit log is to say of this request; without it, it says which route was called."""
    from undercroft.access.audit import Act

    _ASKING.get().act = Act(action=action, subject=subject, before=before, after=after)


def begin(ask: Asking) -> None:
    """From here on `asking()` is this one, in this task and what it starts."""
    _ASKING.set(ask)
