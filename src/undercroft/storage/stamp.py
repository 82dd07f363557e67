"""Whether anything was written since: who asks this first is spared looks that would find what the last one found."""

from collections.abc import Awaitable, Callable

Stamp = Callable[[], Awaitable[object]]
"""Equals the one before where nothing has been written between them. Raises Unavailable."""


async def always_another() -> object:
    """Where that is not known."""
    return object()
