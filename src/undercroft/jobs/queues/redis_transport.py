"""Kombu's transport over Redis, with one client for a channel.

Kombu makes a new one for each command, and that takes twice as long as the command: for a message there are three.
"""

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """A client holds nothing but its pool, which is the channel's own."""

    _shared: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._shared is None or self._shared.connection_pool is not self.pool:
            self._shared = super()._create_client()
        return self._shared


class Transport(redis.Transport):  # type: ignore[misc]  # as above
    """What `broker_transport` names."""

    Channel = Channel
