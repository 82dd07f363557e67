"""`[jobs]`: work that is accepted now and done later."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from undercroft.settings.section import Name, Positive, Seconds, Section, Text

Delivery = Literal["inline", "postgres", "celery"]


class JobQueue(Section):
    """A queue of jobs."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$", examples=["nightly"])]
    """What jobs are handed in to."""
    at_once: Positive | None = None
    """Jobs of it that run at once, in all processes together; default: as many as there is room for."""


class JobSchedule(Section):
    """A periodic job. Each tick is fired once, however many processes there are."""

    name: Name
    """Of your choice; what is known of the last tick is kept under it."""
    cron: Annotated[str, Field(examples=["*/15 * * * *"])]
    """Minute, hour, day of the month, month, day of the week."""
    timezone: Annotated[str, Field(examples=["Europe/Berlin"])] = "UTC"
    """Whose clocks `cron` goes by."""
    kind: Text
    """The kind of job."""
    input: Annotated[str, Field(examples=['{"prompt": "Good morning"}'])] = "{}"
    """Its input, as JSON."""
    queue: Text = "default"
    """The queue it is put into."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """The higher goes first."""


class Jobs(Section):
    """Work that is accepted now and done later."""

    broker_url: SecretStr | None = None
    """Celery's broker (CELERY_BROKER_URL); needs PostgreSQL."""
    delivery: Delivery | None = None
    """How workers learn of jobs; default: `celery` with a broker, `postgres` with PostgreSQL, else `inline`."""
    serves: tuple[Text, ...] = ()
    """Queues that this process works on; default: all."""
    at_once: Positive = 16
    """Jobs that one process runs at a time."""
    lease_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """How long a process may be silent before its jobs are given to another."""
    timeout_s: Seconds = 3600.0
    """Longest time for one run of a job, unless it says otherwise."""
    deadline_s: Seconds = 86_400.0
    """Longest time for a job in all, waits and retries included, unless it says otherwise."""
    keep_days: Annotated[int, Field(gt=0, le=36_500)] = 7
    """How long a job and its result are kept once it has succeeded or was cancelled."""
    keep_dead_days: Annotated[int, Field(gt=0, le=36_500)] = 30
    """How long a dead job is kept."""
    key_at_once: Positive = 1
    """Jobs with the same `concurrency_key` that run at once, in all processes together."""
    modules: tuple[Text, ...] = ()
    """Modules of your own with functions marked `@undercroft.job("name")`."""
    queues: tuple[JobQueue, ...] = ()
    """Queues besides `default`, or a limit for that one."""
    schedules: tuple[JobSchedule, ...] = ()
    """Periodic jobs."""

    @property
    def queue_names(self) -> tuple[str, ...]:
        """`default` first, then those that were added."""
        return tuple(dict.fromkeys(("default", *(queue.name for queue in self.queues))))
