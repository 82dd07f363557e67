"""Celery, set up so that it neither loses nor doubles work, and the broker as delivery sees it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import KombuError
from kombu.utils.uuid import uuid

from undercroft.errors import Unavailable
from undercroft.jobs.queues.celery import Address

DELIVER: Final = "undercroft.deliver"
PREFIX: Final = "undercroft."
"""Of Celery's queues, which may share a broker with other programs'."""
MARKER: Final = "undercroft:broker"
TRANSPORT: Final = "undercroft.jobs.queues.redis_transport:Transport"
CONNECT_S: Final = 2.0
ANSWER_S: Final = 3.0


def celery_settings(broker_url: str | None, queues: Sequence[str], *, at_once: int) -> dict[str, Any]:
    """What Celery is told, and why where its own default would lose or double work."""
    return {
        "broker_url": broker_url,
        "task_default_queue": f"{PREFIX}{queues[0]}",
        "task_queues": [Queue(f"{PREFIX}{queue}") for queue in queues],
        # A message is a hint and its job a row: acknowledged at once, it is never held back in Redis' `unacked` until
        # the visibility time-out (an hour), nor given out twice while it runs for longer than that.
        "task_acks_late": False,
        "task_ignore_result": True,
        # Nobody waits for a broker that is away: what was not sent is found in the database.
        "task_publish_retry": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # else a worker gives up after a hundred tries and never comes back
        "broker_connection_timeout": CONNECT_S,
        **(_REDIS if is_redis(broker_url) else _AMQP),
        **({"broker_transport": TRANSPORT} if (broker_url or "").startswith("redis://") else {}),
        # Retries are timers in rows: a message with an ETA sits in one worker's memory, and dies with it.
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": at_once,
        # All work is done on one event loop in this process, and the pool only hands ids to it: a pool of processes
        # would cost a pipe and two pickles for each.
        "worker_pool": "solo",
        "worker_disable_rate_limits": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "result_backend": "undercroft.worker.results:JobResults",
        "imports": ["undercroft.worker.tasks"],
    }


def is_redis(broker_url: str | None) -> bool:
    return (broker_url or "").startswith(("redis", "sentinel"))


class AnswerInTime:
    """Called with a new connection to RabbitMQ: whatever asks over it waits no longer than for Redis.

    py-amqp has `read_timeout` for that, and reads again when it has passed.
    """

    def __call__(self, connection: Any, /) -> None:
        connection.sock.settimeout(ANSWER_S)

    def __json__(self) -> str:
        """For a worker's `stats`, which Celery sends to `celery inspect` and Flower."""
        return f"answers within {ANSWER_S:g} s"


# Without these one that vanished is waited for until TCP gives up, a quarter of an hour, and one that hangs for ever.
_REDIS: Final[dict[str, Any]] = {
    "broker_transport_options": {
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": ANSWER_S,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
}
_AMQP: Final[dict[str, Any]] = {
    "broker_transport_options": {"on_open": AnswerInTime()},
    "broker_heartbeat": 10,  # a worker notices after two that were missed; the default is two minutes each
}


class CeleryBroker:
    """The broker of a Celery application, over one connection. Used by one thread."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._producer: Any = None
        self._pattern: Any = None
        self._declared: set[str] = set()
        """Over this connection: RabbitMQ confirms what is sent to a queue that it does not have, and drops it."""

    def send(self, queue: str, jobs: Sequence[Address], /) -> int | None:
        with self._connected() as connection:
            if queue not in self._declared:
                self._declare(connection, queue)
            message = self._message(jobs)
            if (push := getattr(connection.default_channel, "push", None)) is not None:  # our transport's (TRANSPORT)
                return int(push(f"{PREFIX}{queue}", message))
            self._producer.publish(
                message.body,
                routing_key=f"{PREFIX}{queue}",
                serializer="json",
                headers=message.headers,
                **message.properties,
            )
            return None

    def _message(self, jobs: Sequence[Address]) -> Any:
        """What Celery's `send_task` sends, without looking for routes, results and signals that a hint has not. Celery
        makes it once: what differs from one to the next is its id and what is in it."""
        if self._pattern is None:
            self._pattern = self._app.amqp.create_task_message(
                "", DELIVER, [[]], argsrepr="(…)", kwargsrepr="{}", ignore_result=True
            )
        pattern, named = self._pattern, uuid()
        return pattern._replace(
            headers={**pattern.headers, "id": named, "root_id": named},
            properties={**pattern.properties, "correlation_id": named},
            body=([list(map(list, jobs))], *pattern.body[1:]),
        )

    def depth(self, queue: str, /) -> int:
        with self._connected() as connection:
            return self._declare(connection, queue)

    def knows_us(self) -> bool:
        """Redis may come back empty; RabbitMQ keeps what it confirmed, in durable queues."""
        with self._connected() as connection:
            if connection.transport.driver_type != "redis":
                return True
            return not connection.default_channel.client.set(MARKER, "here", nx=True)

    def disconnect(self) -> None:
        """Drops the connection, whatever state it is in, without asking a silent peer to agree. The next is new."""
        connection, self._connection, self._producer = self._connection, None, None
        self._declared.clear()
        if connection is not None:
            connection.collect()

    def _declare(self, connection: Connection, queue: str) -> int:
        """How many messages wait in it."""
        # Not passively: to Redis a queue with nothing in it does not exist.
        declared = connection.default_channel.queue_declare(f"{PREFIX}{queue}", durable=True, auto_delete=False)
        self._declared.add(queue)
        return int(declared.message_count)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if self._connection is None:
            # Only here: a RabbitMQ that has no memory left confirms nothing, and workers would wait for it.
            options = {} if is_redis(self._app.conf.broker_url) else {"confirm_publish": True}
            self._connection = self._app.connection_for_write(transport_options=options)
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
        connection = self._connection
        try:
            yield connection
        except (KombuError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            self.disconnect()
            raise Unavailable(f"The broker cannot be reached: {error}.", code="broker_unavailable") from error
