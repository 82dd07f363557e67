"""What Celery is told."""

import socket
from types import SimpleNamespace

import pytest
from kombu.utils import json

from undercroft.jobs.queues.celery_app import celery_settings

REDIS, RABBITMQ = "redis://redis.internal/0", "amqp://rabbitmq.internal//"


@pytest.mark.parametrize("url", [REDIS, RABBITMQ])
def test_how_the_broker_is_spoken_to_can_be_told_to_celery_inspect(url: str) -> None:
    told = celery_settings(url, ["default"], at_once=8)["broker_transport_options"]
    assert json.loads(json.dumps(told)).keys() == told.keys(), "a worker's `stats` are JSON, with these among them"


def test_a_rabbitmq_that_hangs_is_waited_for_as_long_as_a_redis() -> None:
    settings = celery_settings(RABBITMQ, ["default"], at_once=8)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        settings["broker_transport_options"]["on_open"](SimpleNamespace(sock=ours))
        assert ours.gettimeout() == 3
    assert settings["broker_heartbeat"] == 10


@pytest.mark.parametrize("url", ["redis://r/0", "rediss://r/0", "sentinel://r/0"])
def test_a_redis_that_vanished_is_not_waited_for_until_tcp_gives_up(url: str) -> None:
    options = celery_settings(url, ["default"], at_once=8)["broker_transport_options"]
    assert options["socket_timeout"] == 3


def test_nothing_is_acknowledged_late_or_held_back_and_no_result_is_sent() -> None:
    settings = celery_settings(REDIS, ["default", "nightly"], at_once=8)
    assert not settings["task_acks_late"]
    assert settings["task_ignore_result"]
    assert settings["worker_prefetch_multiplier"] == 1
    assert [queue.name for queue in settings["task_queues"]] == ["undercroft.default", "undercroft.nightly"]
