"""Prompts handed in by programs that use Celery: each is a job before it is a message."""

from functools import partial
from typing import Final

import msgspec
from sqlalchemy import Connection

from undercroft.assembly.job_effects import ToldEffects
from undercroft.clock import Clock
from undercroft.events.outbox import Outbox
from undercroft.ids import Ids
from undercroft.jobs import repository
from undercroft.jobs.desk import Wanted, fingerprint
from undercroft.jobs.statements import moment_of
from undercroft.jobs.types import PREFIX, Job, JobSpec, Limits
from undercroft.record import Who
from undercroft.settings.model import Settings
from undercroft.storage.engine import open_database

KIND: Final = "generate"
MAX_ATTEMPTS: Final = 4
"""The first and three retries, after 1, 2 and 4 s and some jitter (`jobs/retry.py`)."""


class JobRows:
    """The jobs of Celery tasks, by the task's id. Every call blocks, and raises Unavailable without the database."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        database = settings.database
        self._jobs = settings.jobs
        self._clock = clock
        self._ids = Ids(clock)
        self._effects = ToldEffects(Outbox(clock))
        self.database = open_database(
            database.url.get_secret_value() if database.url else None,
            data_dir=settings.data_dir,
            pool_size=database.pool_size,
            clock=clock,
            is_durable=settings.ledger.durability == "power",
        )

    def hand_in(self, task_id: str, prompt: str, model: str | None, *, delay_s: float = 0.0) -> Job:
        """The task's job, which there is from now on; the one there was if it was handed in before."""
        spec = self._spec(task_id, prompt, model, delay_s=delay_s)

        def accept(connection: Connection) -> Job:
            return repository.accept(connection, spec, moment=moment_of(self._clock), effects=self._effects).job

        return self.database.write_sync(accept)

    def find(self, task_id: str) -> Job | None:
        find = partial(repository.find_idempotent, organisation=Who().organisation, key=_key(task_id))
        return self.database.read_sync(find)

    def _spec(self, task_id: str, prompt: str, model: str | None, *, delay_s: float) -> JobSpec:
        body = {"prompt": prompt} if model is None else {"prompt": prompt, "model": model}
        asked = Wanted(kind=KIND, input=msgspec.json.encode(body), idempotency_key=_key(task_id))
        return JobSpec(
            id=self._ids.new(PREFIX),
            who=Who(),
            kind=asked.kind,
            input=asked.input,
            run_at_us=self._clock.now_us() + round(delay_s * 1_000_000) if delay_s > 0 else 0,
            limits=Limits(
                max_attempts=MAX_ATTEMPTS,
                lifetime_us=round(self._jobs.deadline_s * 1_000_000),
                timeout_us=round(self._jobs.timeout_s * 1_000_000),
            ),
            idempotency_key=asked.idempotency_key,
            fingerprint=fingerprint(asked),
        )


def _key(task_id: str) -> str:
    return f"celery:{task_id}"
