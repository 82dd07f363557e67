"""Functions of the operator's own that hear of events: `@undercroft.on("job.succeeded")`."""

import importlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from undercroft.errors import ConfigurationError
from undercroft.events.types import TYPES, Event, is_pattern, matches

Subscriber = Callable[[Event], Awaitable[None]] | Callable[[Event], None]
F = TypeVar("F", bound=Callable[[Event], Any])


@dataclass(frozen=True, slots=True)
class Subscription:
    """A function and what it wants to hear of."""

    name: str
    """`module.function`, by which its deliveries are kept: the same after a restart."""
    patterns: tuple[str, ...]
    function: Subscriber

    def wants(self, type: str) -> bool:
        return matches(self.patterns, type)


_subscriptions: dict[str, Subscription] = {}
"""Filled when the operator's modules are imported, as decorators are; the server reads it once they are."""


def on(*patterns: str) -> Callable[[F], F]:
    """Has the decorated function told of events of these types: `job.succeeded`, `job.*` or `*`.

    It is called with an `Event`, after the change that it tells of was committed, at least once and in order for one
    subject; if it raises, it is called again later. Plain functions run in a thread. Raises ValueError for a pattern
    that no event has.

    >>> @on("upstream.*")
    ... async def told(event):
    ...     print(event.type, event.subject)
    """
    unknown = [pattern for pattern in patterns if not is_pattern(pattern)]
    if unknown or not patterns:
        named = f"no event has the type {unknown[0]!r}" if unknown else "on() wants a type"
        raise ValueError(f"{named}; there are {', '.join(TYPES)}, family.* and *")

    def subscribe(function: F) -> F:
        name = f"{function.__module__}.{function.__qualname__}"
        _subscriptions[name] = Subscription(name, patterns, function)
        return function

    return subscribe


def subscriptions_in(modules: Iterable[str]) -> list[Subscription]:
    """Imports the modules and returns every subscription that there is then. Raises ConfigurationError."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise ConfigurationError(
                f"[events] modules: {module} cannot be imported: {type(error).__name__}: {error}.",
                hint="It is looked for where Python looks, and in the folder that the server was started in.",
            ) from error
    return list(_subscriptions.values())
