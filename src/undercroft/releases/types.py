"""Releases and how they are rolled out, as values."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

SHADOW: Final = "shadow"
"""The endpoint under which mirrored calls are booked: nobody reads their answers."""
ONLINE: Final = "online_evaluation"
"""The endpoint under which the checks of live answers are booked."""
ASIDE: Final = (SHADOW, ONLINE, "evaluation", "retrieval")
"""Endpoints of calls that no caller has made: what a release does for them says nothing of how it serves people."""

Sticky = Literal["user", "conversation"]
State = Literal["running", "paused", "promoted", "rolled_back", "finished"]
MoveName = Literal["started", "advanced", "paused", "resumed", "promoted", "rolled_back", "finished"]
GateName = Literal["errors", "latency", "first_token", "cost", "refusals", "feedback", "evaluation"]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
Told = Literal[
    "release.started",
    "release.advanced",
    "release.paused",
    "release.resumed",
    "release.promoted",
    "release.rolled_back",
    "release.finished",
]
MOVES: Final[Mapping[MoveName, Told]] = {
    "started": "release.started",
    "advanced": "release.advanced",
    "paused": "release.paused",
    "resumed": "release.resumed",
    "promoted": "release.promoted",
    "rolled_back": "release.rolled_back",
    "finished": "release.finished",
}
"""What events and the audit log call each."""


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Stored as JSON."""


class Manifest(_Value, frozen=True, kw_only=True):
    """What an alias runs: `name@digest` of one version of each kind. None: nothing of that kind."""

    alias: str
    model: str | None = None
    prompt: str | None = None
    retrieval: str | None = None
    guardrail: str | None = None


def release_id(manifest: Manifest) -> str:
    """The same manifest always has the same id: `rel_` and 16 hex digits of its SHA-256."""
    return "rel_" + hashlib.sha256(msgspec.json.encode(manifest, order="sorted")).hexdigest()[:16]


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that was written down; never changed."""

    id: str
    manifest: Manifest
    note: str = ""
    author: str = ""
    created_us: int = 0


class Step(_Value, frozen=True, kw_only=True):
    """A stage of a rollout: how many see the candidate, and for how long before the next step."""

    share: Share = 0.0
    """Of users (or conversations) who are answered by the candidate."""
    mirror: Share = 0.0
    """Of calls that are sent to the candidate as well; its answer goes to nobody."""
    bake_s: Seconds = 600.0


class Gate(_Value, frozen=True, kw_only=True):
    """How much worse the candidate may be. Every gate compares a rate: the share of calls that are bad."""

    margin: Share
    """How much larger the candidate's rate may be than the stable release's: 0.01 is one point."""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    """Latency, first token and cost: a call is bad when it is over (1 + tolerance) times the 90th percentile of the
    stable release."""


GATES: Final[dict[GateName, Gate]] = {
    "errors": Gate(margin=0.01),
    "latency": Gate(margin=0.05, tolerance=0.25),
    "first_token": Gate(margin=0.05, tolerance=0.25),
    "cost": Gate(margin=0.05, tolerance=0.25),
    "refusals": Gate(margin=0.02),
    "feedback": Gate(margin=0.05),
    "evaluation": Gate(margin=0.05),
}
MEASURED: Final[frozenset[GateName]] = frozenset({"latency", "first_token", "cost"})
"""The gates whose bad calls are those over a threshold."""


class Plan(_Value, frozen=True, kw_only=True):
    """How a candidate is brought out."""

    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=20)]
    gates: dict[GateName, Gate] = msgspec.field(default_factory=GATES.copy)
    false_alarm: Annotated[float, Meta(gt=0, lt=0.5)] = 0.01
    """Probability of rolling back a candidate that is no worse, over the whole rollout, however often it is looked
    at."""
    least_calls: Annotated[int, Meta(ge=0)] = 100
    """Calls that the candidate must have answered in a step before the next one."""
    sticky: Sticky = "user"
    promotes: bool = True
    """Whether the last step ends in a promotion; otherwise somebody decides."""


class Thresholds(_Value, frozen=True, kw_only=True):
    """Above what a call is slow or dear; None: not known yet."""

    latency: int | None = None
    """µs."""
    first_token: int | None = None
    """µs."""
    cost: int | None = None
    """Nano-dollars."""
    since_us: int = 0
    """Calls that began before were used to find these, and are counted in no test. 0: nothing was found yet."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate on its way to replacing the stable release of an alias."""

    organisation: str
    id: str
    alias: str
    stable: str
    candidate: str
    plan: Plan
    thresholds: Thresholds = Thresholds()
    state: State = "running"
    step: int = 0
    step_us: int = 0
    """When the present step began."""
    revision: int = 0
    reason: str = ""
    created_us: int = 0

    @property
    def is_open(self) -> bool:
        return self.state in ("running", "paused")

    @property
    def now(self) -> Step:
        """The present step."""
        return self.plan.steps[self.step]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A move that was made, for the audit log."""

    organisation: str
    id: str
    alias: str
    move: MoveName
    release: str
    rollout: str = ""
    author: str = ""
    reason: str = ""
    evidence: dict[str, Any] = {}
    at_us: int = 0
