"""One client for a channel, and a new one for a new pool."""

from types import SimpleNamespace
from typing import Any

from undercroft.jobs.queues.celery_app import TRANSPORT, celery_settings
from undercroft.jobs.queues.redis_transport import Channel, Transport


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
