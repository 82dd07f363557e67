"""Kombu's transport over Redis, without what a hint does not need.

Kombu makes a new client for each command, which takes twice as long as the command. It keeps a copy of every message
until that is acknowledged, so that somebody may find it after an hour: two round trips, and two transactions of Redis',
for a message that is acknowledged at once and whose job is a row. And both it and Celery wrap a message several times
over before anybody reads it.
"""

import base64
from collections.abc import Callable
from typing import Any, Final

import msgspec
from kombu.transport import redis, virtual

from undercroft.jobs.queues.celery_app import DELIVER


class QoS(redis.QoS):  # type: ignore[misc]  # kombu has no types
    """Hints are counted as long as they are under way, and kept nowhere. Tasks are kept, as ever."""

    def append(self, message: Any, delivery_tag: str) -> None:
        if message.headers.get("task") == DELIVER:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        if self._is_hint(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """One that a worker cannot take is dropped: whoever has room looks for its jobs."""
        if self._is_hint(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().reject(delivery_tag, requeue=requeue)

    def _is_hint(self, delivery_tag: str) -> bool:
        message = self._delivered.get(delivery_tag)
        return message is not None and message.headers.get("task") == DELIVER


class Channel(redis.Channel):  # type: ignore[misc]  # as above
    """A client holds nothing but its pool, which is the channel's own."""

    QoS = QoS
    _shared: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._shared is None or self._shared.connection_pool is not self.pool:
            self._shared = super()._create_client()
        return self._shared

    def push(self, queue: str, task: Any) -> int:
        """Sends a task that Celery made, as kombu would have sent it; how many messages wait now."""
        body = msgspec.json.encode(task.body)
        properties = {
            **task.properties,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": task.headers["id"],  # as good a name as another one, of one message
        }
        message = {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": task.headers,
            "properties": properties,
        }
        with self.conn_or_acquire() as client:
            return int(client.lpush(queue, msgspec.json.encode(message)))


class Transport(redis.Transport):  # type: ignore[misc]  # as above
    """What `broker_transport` names."""

    Channel = Channel
    take: Callable[[dict[str, Any]], bool] | None = None
    """Takes a hint as it comes from Redis, where a worker consumes; False leaves it to Celery."""

    def _deliver(self, message: dict[str, Any], queue: str) -> None:
        is_hint = queue in self._callbacks and message.get("headers", {}).get("task") == DELIVER
        if self.take is None or not is_hint or not self.take(message):
            super()._deliver(message, queue)


_Body = tuple[tuple[list[tuple[str, str]]], dict[str, Any], dict[str, Any]]
"""What Celery makes of a task with one argument: arguments, named arguments, what else is to be done."""
_body: Final[msgspec.json.Decoder[_Body]] = msgspec.json.Decoder(_Body)


def ids_in(message: dict[str, Any]) -> list[tuple[str, str]]:
    """Of a hint: organisation and id of each job. Raises KeyError, TypeError or ValueError for what is none."""
    body = message["body"]
    if message["properties"].get("body_encoding") == "base64":
        body = base64.b64decode(body)
    ((jobs,), _, _) = _body.decode(body)
    return jobs
