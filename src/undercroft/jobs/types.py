"""Work that is accepted now and done later: what is asked for, what is kept of it, and how a run of it comes out."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from undercroft.record import Who

PREFIX: Final = "job_"
DEFAULT_QUEUE: Final = "default"
MAX_PRIORITY: Final = 100
"""Priorities go from -100 to 100; the higher goes first."""
LIFETIME_US: Final = 86_400_000_000
"""How long a job may take in all, waits and retries included, unless it says otherwise: a day."""

State = Literal["blocked", "delayed", "held", "queued", "running", "succeeded", "dead", "cancelled"]
"""What the row says. `blocked`: other jobs come first. `delayed`: its time has not come. `held`: its lane is full.
`queued`: anybody may take it."""
Status = Literal["queued", "running", "waiting", "succeeded", "dead", "cancelled"]
"""What the outside is told; `waiting` is queued again after a failed attempt."""

PENDING: Final = ("blocked", "delayed", "held", "queued")
ENDED: Final = ("succeeded", "dead", "cancelled")


Blame = Literal["final", "job", "outage"]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run failed, and what is to be made of it."""

    code: str
    message: str
    blame: Blame = "job"
    """`final`: no run will ever succeed. `job`: it costs one of the job's attempts. `outage`: something else was away,
    which costs none: only the deadline bounds it."""
    retry_after_s: float = 0.0
    """The least wait that whoever refused asked for."""
    parks: bool = False
    """Nothing else of the same lane need be tried before that either."""


class Succeeded(msgspec.Struct, frozen=True):
    """The handler came to its end."""

    result: bytes
    """JSON."""


class Failed(msgspec.Struct, frozen=True):
    """The handler raised, or took too long."""

    failure: Failure


class Stopped(msgspec.Struct, frozen=True):
    """The run was broken off because its job was cancelled."""


class Released(msgspec.Struct, frozen=True):
    """The run was broken off because its process winds down; the job is anybody's again, at no cost."""


class Lost(msgspec.Struct, frozen=True):
    """Whoever ran it is gone, or has not been heard of for longer than its lease."""


Outcome = Succeeded | Failed | Stopped | Released | Lost


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often a job may be tried. Microseconds; 0 is no limit."""

    max_attempts: int = 4
    lifetime_us: int = LIFETIME_US
    soft_timeout_us: int = 0
    """Then a run is told to end."""
    timeout_us: int = 0
    """Then it is given up, whether or not it ends."""


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is handed in: checked, and complete but for what the database says."""

    id: str
    who: Who
    kind: str
    input: bytes
    """JSON, as it came."""
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    lane: str = ""
    """What it shares with others: those of one lane are limited, and parked, together. Empty: nothing."""
    run_at_us: int = 0
    """Not before this moment (UTC); 0: at once."""
    limits: Limits = Limits()
    after: tuple[str, ...] = ()
    """Jobs that must have succeeded."""
    idempotency_key: str | None = None
    fingerprint: str = ""
    """Of everything that was asked for: the same key with another one is a mistake."""
    unique_key: str | None = None
    """While a job with it has not ended, no second one is made."""
    webhook: str = ""
    schedule: str = ""
    trace: str = ""


class Job(msgspec.Struct, frozen=True):
    """A row. The fields are its columns, in their order."""

    organisation: str
    id: str
    team: str
    user_id: str
    key: str
    kind: str
    queue: str
    rank: int
    """The priority, negated: the lower goes first."""
    lane: str
    state: State
    input: str
    token: str
    """Of the latest claim; what is done under another one counts for nothing."""
    worker: str
    attempts: int
    """Failed ones that count."""
    runs: int
    """Claims, whatever came of them."""
    crashes: int
    """Runs whose worker was lost."""
    max_attempts: int
    missing: int
    """Jobs that it waits for."""
    awaited: bool
    """Some job waits for it."""
    cancel_requested: bool
    run_at_us: int
    lifetime_us: int
    deadline_us: int
    soft_timeout_us: int
    timeout_us: int
    lease_until_us: int
    """On the store's clock (`statements.py`), as nothing else here is."""
    delivered_us: int
    """When a broker was given its id; 0: not yet."""
    idempotency_key: str | None
    fingerprint: str
    unique_key: str | None
    webhook: str
    schedule: str
    trace: str
    progress: str | None
    result: str | None
    error: str | None
    created_us: int
    started_us: int
    """When its latest run began; 0: never."""
    finished_us: int
    """0: it has not ended."""

    @property
    def who(self) -> Who:
        return Who(organisation=self.organisation, team=self.team, user=self.user_id, key=self.key)

    @property
    def status(self) -> Status:
        if self.state in _TOLD:
            return _TOLD[self.state]
        return "queued" if self.error is None else "waiting"

    @property
    def failure(self) -> Failure | None:
        """Why its latest run failed, if it did."""
        return None if self.error is None else _failure.decode(self.error)


_TOLD: Final[Mapping[str, Status]] = {
    "running": "running",
    "succeeded": "succeeded",
    "dead": "dead",
    "cancelled": "cancelled",
}
_failure = msgspec.json.Decoder(Failure)


class Saying(msgspec.Struct, frozen=True):
    """What a running job said that is to be kept: its latest progress, and pieces of output from number `first` on."""

    job: Job
    """As it was claimed."""
    progress: str | None
    first: int
    pieces: tuple[str, ...]


class Attempt(msgspec.Struct, frozen=True):
    """A run that did not succeed. The fields are columns of `job_attempts`."""

    run: int
    worker: str
    outcome: str
    error: str | None
    started_us: int
    ended_us: int


class Accepted(msgspec.Struct, frozen=True):
    """What handing a job in came to."""

    job: Job
    was: Literal["new", "replayed", "duplicate"] = "new"
    """`replayed`: the idempotency key was known. `duplicate`: one with its unique key has not ended yet."""
    is_placed: bool = False
    """The crew of this process has it already: nobody else need know."""
