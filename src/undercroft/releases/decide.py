"""The next move of a rollout: a plain function of what it is, what was seen and what time it is."""

from typing import Any, Literal

import msgspec

from undercroft.releases.gates import Observed, breach
from undercroft.releases.types import MEASURED, MoveName, Rollout, State

Command = Literal["pause", "resume", "promote", "roll_back"]


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """A move to make."""

    move: MoveName
    reason: str
    evidence: dict[str, Any] = {}


def decide(rollout: Rollout, observed: Observed, *, now_us: int) -> Next | None:
    """What the controller does now; None: wait. The same values always give the same move, so a controller that died
    goes on where it was."""
    if rollout.state != "running":
        return None
    verdict = breach(rollout.plan, observed)
    if verdict is not None:
        return Next(move="rolled_back", reason=verdict.told, evidence=verdict.as_evidence())
    step = rollout.now
    if now_us - rollout.step_us < step.bake_s * 1_000_000:
        return None
    sees_traffic = step.share > 0 or step.mirror > 0
    if sees_traffic and step.bake_s > 0 and observed.calls < rollout.plan.least_calls:
        return None
    if step.bake_s > 0 and not rollout.thresholds.since_us and not MEASURED.isdisjoint(rollout.plan.gates):
        return None  # nothing is known yet of how fast and dear the stable release is
    seen = {"calls": observed.calls}
    if rollout.step + 1 < len(rollout.plan.steps):
        return Next(move="advanced", reason="no gate was breached", evidence=seen)
    if rollout.plan.promotes:
        return Next(move="promoted", reason="no gate was breached in any step", evidence=seen)
    return Next(move="finished", reason="the last step is over; somebody decides", evidence=seen)


def after(rollout: Rollout, move: MoveName, *, reason: str, now_us: int) -> Rollout:
    """The rollout once the move is made."""
    state: State = rollout.state
    step, step_us = rollout.step, rollout.step_us
    match move:
        case "advanced":
            step, step_us = step + 1, now_us
        case "paused":
            state = "paused"
        case "resumed" | "started":
            state, step_us = "running", now_us
        case "promoted" | "rolled_back" | "finished":
            state = move
    return msgspec.structs.replace(
        rollout, state=state, step=step, step_us=step_us, reason=reason, revision=rollout.revision + 1
    )


def move_of(rollout: Rollout, command: Command) -> MoveName | None:
    """What a person's command means now; None where it means nothing."""
    match command:
        case "pause":
            return "paused" if rollout.state == "running" else None
        case "resume":
            return "resumed" if rollout.state == "paused" else None
        case "promote":
            return "promoted" if rollout.is_open or rollout.state == "finished" else None
        case "roll_back":
            return "rolled_back" if rollout.is_open else None
