"""A message of ids is handed on, or is a task like others where somebody listens."""

import base64
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from celery import Celery
from celery.exceptions import InvalidTaskError
from celery.worker import state

from undercroft.jobs.queues.celery_app import DELIVER
from undercroft.jobs.queues.redis_transport import Transport
from undercroft.worker.delivery import hand_over


class Given:
    """A runtime that remembers what it was given."""

    def __init__(self) -> None:
        self.ids: list[tuple[str, str]] = []

    def give(self, jobs: Sequence[tuple[str, str]]) -> None:
        self.ids += jobs


class Consumer:
    """As much of Celery's as a strategy looks at."""

    hostname, connection_errors, disable_rate_limits = "here", (OSError,), True
    pool = SimpleNamespace(apply_async=None)

    def __init__(self, *, groups: set[str]) -> None:
        # A worker's own events, its heartbeats, are always sent; those of tasks when somebody asks for them.
        self.event_dispatcher = SimpleNamespace(enabled=True, groups=groups, send=lambda *_, **__: None)
        self.connection = SimpleNamespace(transport=object.__new__(Transport))
        self.timer = SimpleNamespace(call_at=None)
        self.task_buckets: dict[str, Any] = {}
        self.controller = SimpleNamespace(state=SimpleNamespace(revoked=set()))
        self.apply_eta_task = self._limit_task = self._limit_post_eta = None
        self.requests: list[str] = []

    def on_task_request(self, request: Any) -> None:
        self.requests.append(request.name)


class Stage:
    def __init__(self, *groups: str) -> None:
        app = Celery("stage", set_as_current=False)
        self.runtime = Given()
        app.runtime = self.runtime

        @app.task(name=DELIVER)  # type: ignore[untyped-decorator]  # Celery has no types
        def hints(jobs: list[list[str]]) -> None: ...

        self.consumer = Consumer(groups=set(groups or ("worker",)))
        self.take = hand_over(hints, app, self.consumer)
        self.acknowledged = 0

    def receive(self, arguments: list[Any]) -> None:
        headers = {"task": DELIVER, "id": "1", "lang": "py", "root_id": "1", "parent_id": None, "group": None}
        message: Any = SimpleNamespace(
            payload=[arguments, {}, {}],
            body=b"",
            headers=headers | {"argsrepr": "", "kwargsrepr": "", "timelimit": [None, None]},
            delivery_info={},
            properties={},
            content_type="application/json",
            content_encoding="utf-8",
        )
        self.take(message, None, self.acknowledge, None, [])

    def arrive(self, jobs: Any) -> bool:
        """As Redis has it; whether it was taken."""
        body = base64.b64encode(msgspec.json.encode([[jobs], {}, {"chain": None}])).decode()
        take = self.consumer.connection.transport.take
        return bool(take({"body": body, "properties": {"body_encoding": "base64"}}))

    def acknowledge(self, logger: Any, errors: Any) -> None:
        self.acknowledged += 1


def test_ids_are_handed_on_acknowledged_and_counted() -> None:
    stage, before = Stage(), state.total_count[DELIVER]
    stage.receive([[["default", "job_1"], ["other", "job_2"]]])
    assert stage.runtime.ids == [("default", "job_1"), ("other", "job_2")]
    assert (stage.acknowledged, stage.consumer.requests) == (1, [])
    assert state.total_count[DELIVER] == before + 1


def test_a_message_from_redis_is_taken_before_celery_sees_it() -> None:
    stage, before = Stage(), state.total_count[DELIVER]
    assert stage.arrive([["default", "job_1"], ["other", "job_2"]])
    assert stage.runtime.ids == [("default", "job_1"), ("other", "job_2")]
    assert state.total_count[DELIVER] == before + 1
    assert not stage.arrive([["job_1"]]), "Celery says what is wrong with it"
    assert not stage.consumer.connection.transport.take({}), "nor is this one"
    assert len(stage.runtime.ids) == 2


@pytest.mark.parametrize("arguments", [[], [["job_1"]], [[["a", "b", "c"]]], [7]])
def test_what_is_no_list_of_ids_is_refused_and_nothing_is_handed_on(arguments: list[Any]) -> None:
    stage = Stage()
    with pytest.raises(InvalidTaskError):
        stage.receive(arguments)
    assert stage.runtime.ids == []


def test_while_somebody_listens_to_celerys_events_it_is_a_task_like_others() -> None:
    stage = Stage("worker", "task")
    stage.receive([[["default", "job_1"]]])
    assert not stage.arrive([["default", "job_1"]])
    assert stage.runtime.ids == [], "the task's function will"
    assert stage.consumer.requests == [DELIVER]
