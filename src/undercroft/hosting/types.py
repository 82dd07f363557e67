"""Versions of the server on one host: what is known of each, and how traffic moves between them."""

from typing import Literal

import msgspec

Stage = Literal["starting", "ready", "serving", "draining", "stopped", "failed"]
LIVING = ("starting", "ready", "serving", "draining")


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How traffic moves to a version, and what takes it back."""

    steps: tuple[int, ...] = (5, 25, 50, 100)
    """Percent of the connections, one after the other; the last is 100."""
    step_s: float = 10.0
    """How long each is watched."""
    bake_s: float = 60.0
    """How long the last is watched before the former version may go."""
    max_error_rate: float = 0.01
    """Share of answers with 5xx that is too much, above what the other version has meanwhile."""
    max_latency_factor: float = 2.0
    """How much longer than the other version's its answers may take to begin, at the 95th percentile."""
    min_requests: int = 20
    """With fewer requests nothing is concluded."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What a version has to show before anybody is sent to it."""

    start_timeout_s: float = 120.0
    model: str | None = None
    """Asked for one short answer; None: the default model."""
    key: str | None = None
    """The credential that is used for it."""
    calls: bool = True
    """Whether a model is called at all."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process that no other can be taken for: `born` is when it was started, in ticks since `boot`."""

    pid: int
    born: int
    boot: str


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version: its code (which Python it is installed in) and its settings file, and how it is."""

    name: str
    python: str
    stage: Stage = "starting"
    undercroft: str = ""
    schema: str = ""
    """The schema revision that its code was written for."""
    process: Process | None = None
    reason: str = ""
    """Why it was stopped, or failed."""
    added_us: int = 0

    @property
    def is_living(self) -> bool:
        return self.stage in LIVING


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic on its way from one version to another."""

    source: str
    target: str
    rollout: Rollout
    step: int = 0
    """Which of the steps is in force."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that a new host has to know."""

    host: str
    port: int
    lanes: int
    """How many listening sockets there are."""
    directory: str
    """Where versions run: their settings' relative paths start here."""
    versions: tuple[Version, ...] = ()
    """In the order in which they came."""
    active: str = ""
    """The version that has the traffic, or had it before the move that is under way."""
    former: str = ""
    """The one before, which a rollback goes back to."""
    move: Move | None = None
    keep: int = 3
    """How many versions are kept, the active one included."""
    drain_s: float = 600.0

    def version(self, name: str) -> Version | None:
        return next((each for each in self.versions if each.name == name), None)

    def put(self, version: Version) -> "State":
        """The same with this version in place of the one of its name, or added."""
        if self.version(version.name) is None:
            return msgspec.structs.replace(self, versions=(*self.versions, version))
        changed = tuple(version if each.name == version.name else each for each in self.versions)
        return msgspec.structs.replace(self, versions=changed)

    @property
    def candidate(self) -> Version | None:
        """A version that is ready and has no traffic yet, or the one that is being moved to."""
        name = self.move.target if self.move else None
        waiting = (each for each in self.versions if each.stage == "ready" and each.name != self.active)
        return self.version(name) if name else next(waiting, None)


def pruned(state: State) -> tuple[State, tuple[str, ...]]:
    """Without the oldest versions that run no more, beyond those that are kept; and the names of these."""
    needed = {state.active, state.former}
    idle = [each.name for each in state.versions if not each.is_living and each.name not in needed]
    surplus = tuple(idle[: max(len(state.versions) - state.keep, 0)])
    left = tuple(each for each in state.versions if each.name not in surplus)
    return msgspec.structs.replace(state, versions=left), surplus


def shares(state: State) -> dict[str, tuple[int, ...]]:
    """Which lanes each version is to serve."""
    everything = tuple(range(state.lanes))
    if state.move is None:
        return {state.active: everything} if state.active else {}
    moved = lanes_at(state.move.rollout.steps[state.move.step], state.lanes)
    return {state.move.target: everything[:moved], state.move.source: everything[moved:]}


def lanes_at(percent: int, lanes: int) -> int:
    """How many of the lanes that is: at least one, and all only at 100."""
    if percent >= 100:
        return lanes
    return min(max(round(lanes * percent / 100), 1), lanes - 1)


def lanes_for(workers: int) -> int:
    """How many lanes a port gets: at least 20, so that one is 5 %, and as many for each process."""
    return workers * -(-20 // workers) if workers <= 100 else workers
