"""What may take requests past the application, as the connection knows it (`api/fast_path/`)."""

from typing import Any, NamedTuple, Protocol

from undercroft.api.cycle import Cycle
from undercroft.api.guard import Request


class Expressed(Protocol):
    """A request whose answer comes by the shortest way, if nothing happens."""

    @property
    def deadline(self) -> float:
        """Monotonic seconds after which something has."""
        ...

    def slow_down(self) -> None:
        """Something has: from here on it has a cycle."""
        ...


class Head(Protocol):
    """A head that may belong to a request of the fast path."""

    @property
    def request(self) -> Request: ...


class FastPath(Protocol):
    """Takes some requests past the application."""

    def express(self, client: Any, head: Any, body: bytes, /) -> bool:
        """Sees to an answer by the shortest way; False, with nothing done, where it has to go another. `client` is the
        connection, which is told what to `expect`, and `head` came from here."""
        ...

    def find(self, head: bytes, /) -> tuple[Head, int] | None:
        """What a head says that came before, and how long its body is."""
        ...

    def read(self, head: bytes, request: Request, /) -> tuple[Head, int] | None:
        """The same of a head that was examined; None: the application is to answer."""
        ...

    def take(self, cycle: Cycle, head: Any, body: bytes, /) -> bool:
        """Sees to its answer; False, with nothing done, where the application must. `head` came from here."""
        ...


class HasFastPath(Protocol):
    """Has a fast path, at times another one."""

    @property
    def fast_path(self) -> FastPath | None: ...


class Half(NamedTuple):
    """A request for the fast path of which not all has come yet."""

    path: FastPath
    head: Head
    length: int
    data: bytes
    end: int
    """Of the head."""
