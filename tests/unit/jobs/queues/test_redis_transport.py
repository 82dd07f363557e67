"""One client for a channel, no copies of hints, and messages as kombu has them."""

import json
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

from celery import Celery

from undercroft.jobs.queues.celery_app import DELIVER, TRANSPORT, celery_settings
from undercroft.jobs.queues.redis_transport import Channel, QoS, Transport, ids_in


def channel() -> Any:
    """One that is connected to nothing."""
    made = object.__new__(Channel)
    made.Client = lambda connection_pool: SimpleNamespace(connection_pool=connection_pool)
    made._pool = pool()
    made._async_pool = pool()
    return made


def pool() -> Any:
    return SimpleNamespace(connection_kwargs={}, disconnect=lambda: None)


def test_a_channel_keeps_its_client_until_its_pool_is_another() -> None:
    made = channel()
    with made.conn_or_acquire() as first, made.conn_or_acquire() as again:
        assert first is again
    made._pool = pool()
    with made.conn_or_acquire() as other:
        assert other is not first
        assert other.connection_pool is made._pool
    assert made._create_client(asynchronous=True).connection_pool is made._async_pool


def test_it_is_used_where_the_broker_is_a_plain_redis() -> None:
    assert celery_settings("redis://r/0", ["default"], at_once=1)["broker_transport"] == TRANSPORT
    module, _, name = TRANSPORT.partition(":")
    assert (Transport.__module__, Transport.__qualname__) == (module, name)
    for other in ("rediss://r/0", "sentinel://r/0", "amqp://r//", None):
        assert "broker_transport" not in celery_settings(other, ["default"], at_once=1)


class Pipe:
    """Redis' side of a transaction, which counts."""

    def __init__(self) -> None:
        self.executed = 0

    def zadd(self, *_: object) -> "Pipe":
        return self

    hset = zrem = hdel = zadd

    def execute(self) -> None:
        self.executed += 1


def quality(pipe: Pipe) -> Any:
    made = object.__new__(QoS)
    made._delivered, made._dirty, made.prefetch_count = OrderedDict(), set(), 1
    made._quick_ack, made._quick_append = made._dirty.add, made._delivered.__setitem__
    client = SimpleNamespace(pipeline=lambda: pipe)
    made.channel = SimpleNamespace(
        conn_or_acquire=lambda _: Held(client), unacked_key="unacked", unacked_index_key="index"
    )
    return made


class Held:
    def __init__(self, client: Any) -> None:
        self._client = client

    def __enter__(self) -> Any:
        return self._client

    def __exit__(self, *_: object) -> None:
        """Nothing."""


def received(task: str) -> Any:
    return SimpleNamespace(headers={"task": task}, delivery_info={"exchange": "", "routing_key": "q"}, _raw={})


def test_of_a_hint_redis_keeps_no_copy_and_it_counts_until_it_is_acknowledged() -> None:
    pipe = Pipe()
    qos = quality(pipe)
    qos.append(received(DELIVER), "tag-1")
    assert not qos.can_consume()
    qos.ack("tag-1")
    assert qos.can_consume()
    qos.append(received(DELIVER), "tag-2")
    qos.reject("tag-2", requeue=True)
    assert qos.can_consume()
    assert pipe.executed == 0


def test_of_a_task_it_does() -> None:
    pipe = Pipe()
    qos = quality(pipe)
    qos.append(received("tasks.process_ai_request"), "tag-1")
    qos.ack("tag-1")
    assert pipe.executed == 2


def test_what_is_pushed_is_what_kombu_would_have_sent() -> None:
    app = Celery("sender", set_as_current=False)
    app.conf.update(celery_settings("redis://r/0", ["default"], at_once=1))
    task = app.amqp.create_task_message("id-1", DELIVER, [[["default", "job_1"]]], argsrepr="(…)", ignore_result=True)
    sent: list[tuple[str, dict[str, Any]]] = []

    def lpush(queue: str, message: bytes | str) -> int:
        sent.append((queue, json.loads(message)))
        return 7

    made = channel()
    made._shared = SimpleNamespace(connection_pool=made._pool, lpush=lpush)
    made._expires, made.auto_delete_queues, made.sep, made.priority_steps = {}, set(), ":", (0,)
    assert made.push("undercroft.default", task) == 7
    properties = {**task.properties, "delivery_mode": 2}
    whole = made.prepare_message(
        json.dumps(task.body), 0, "application/json", "utf-8", headers=task.headers, properties=properties
    )
    made.basic_publish(whole, "", "undercroft.default")
    (ours_to, ours), (theirs_to, theirs) = sent
    assert ours_to == theirs_to
    assert ids_in(ours) == ids_in(theirs) == [("default", "job_1")]
    for message in (ours, theirs):
        message.pop("body")  # the same JSON, with other spaces
        message["properties"].pop("delivery_tag")
    assert ours == theirs


def test_only_what_is_consumed_here_is_taken_early() -> None:
    taken: list[Any] = []
    usual: list[Any] = []
    transport = object.__new__(Transport)
    transport._callbacks = {"mine": usual.append}
    hint = {"headers": {"task": DELIVER}}
    transport._deliver(hint, "mine")
    assert usual == [hint], "nobody takes hints here"

    def take(message: dict[str, Any]) -> bool:
        taken.append(message)
        return True

    transport.take = take
    transport._deliver(hint, "mine")
    transport._deliver({"headers": {"task": "another"}}, "mine")
    assert (len(taken), len(usual)) == (1, 2)
    transport.take = lambda _: False
    transport._deliver(hint, "mine")
    assert len(usual) == 3
