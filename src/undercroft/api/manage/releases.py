"""`/api/v1/releases`: what an alias runs, and how another release takes its place."""

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from undercroft.api.manage.asking import asking, organisation, tell
from undercroft.assembly import Undercroft
from undercroft.assembly.releases import plan_of, states
from undercroft.clock import rfc3339
from undercroft.releases import repository
from undercroft.releases.desk import Status
from undercroft.releases.types import Moved, Plan, Release, Rollout
from undercroft.versions.content import KINDS, Kind

Strategy = Literal["canary", "blue_green", "shadow"]
Share = Annotated[float, Field(gt=0, le=1)]


class NewRelease(BaseModel):
    """What an alias is to run: `name`, `name@label` or `name@address` of a version of each kind. What is left out is
    as in the alias's present release."""

    model_config = ConfigDict(extra="forbid")

    alias: str = Field(examples=["support"])
    model: str | None = None
    prompt: str | None = None
    retrieval: str | None = None
    guardrail: str | None = None
    note: str = ""


class ReleaseView(BaseModel):
    """Versions that answer together."""

    id: str
    alias: str
    model: str | None
    prompt: str | None
    retrieval: str | None
    guardrail: str | None
    note: str
    author: str
    created_at: AwareDatetime


class ReleaseList(BaseModel):
    """Releases, newest first."""

    data: list[ReleaseView]


class NewRollout(BaseModel):
    """How a release is to be brought out; what is left out is as `[releases]` says."""

    model_config = ConfigDict(extra="forbid")

    strategy: Strategy = "canary"
    steps: list[Share] | None = Field(default=None, min_length=1, max_length=20)
    """Shares of users, or of mirrored calls, one after the other."""
    bake_s: Annotated[float, Field(ge=0)] | None = None
    """How long each step lasts at least."""
    reason: str = ""


class ReleaseAction(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid")

    reason: str = ""


class GateView(BaseModel):
    """What is known of a gate: rates are shares of calls, as intervals that hold however often they are looked at."""

    gate: str
    breached: bool
    stable: tuple[float, float]
    candidate: tuple[float, float]
    margin: float
    counts: dict[str, int]


class RolloutView(BaseModel):
    """A release on its way."""

    id: str
    alias: str
    stable: str
    candidate: str
    state: str
    step: int
    steps: list[dict[str, float]]
    reason: str
    gates: list[GateView]
    created_at: AwareDatetime


class ReleaseMove(BaseModel):
    """A move that was made."""

    move: str
    release: str
    author: str
    reason: str
    evidence: dict[str, Any]
    at: AwareDatetime


class AliasView(BaseModel):
    """An alias as it stands."""

    alias: str
    current: str
    """The release that answers; empty: none."""
    previous: str
    rollout: RolloutView | None
    """The open one, else the one that ended last."""
    moves: list[ReleaseMove]
    """The latest first."""


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()
    _releases(routes, undercroft)
    _aliases(routes, undercroft)
    return routes


def _releases(routes: APIRouter, undercroft: Undercroft) -> None:
    office, link = undercroft.releases, undercroft.link

    @routes.get("/releases")
    async def releases(alias: str | None = None) -> ReleaseList:
        """All releases; of one `alias`, if it is given."""
        found = await link.read(partial(repository.listed, organisation=organisation(), alias=alias))
        return ReleaseList(data=[_view(each) for each in found])

    @routes.post("/releases", status_code=201)
    async def create_release(new: NewRelease) -> ReleaseView:
        """Pins versions for an alias. The same pins again are the release that there is."""
        wanted: dict[Kind, str] = {kind: given for kind in KINDS if (given := getattr(new, kind)) is not None}
        desk, author = await office.desk(), asking().caller.actor
        release = await desk.create(new.alias, wanted, organisation=organisation(), note=new.note, author=author)
        tell("release.create", release.id, after=release.manifest)
        await office.refresh()
        return _view(release)

    @routes.get("/releases/{release_id}")
    async def release(release_id: str) -> ReleaseView:
        """One release."""
        find = partial(repository.release_of, id=release_id, organisation=organisation())
        return _view(await link.read(find))

    @routes.post("/releases/{release_id}/rollout", status_code=201)
    async def start_rollout(release_id: str, new: NewRollout) -> AliasView:
        """Begins to bring a release out: in steps, for everybody at once, or mirrored."""
        steps = tuple(new.steps) if new.steps else None
        plan = plan_of(undercroft.settings.releases, new.strategy, steps=steps, bake_s=new.bake_s)
        desk = await office.desk(asking().origin)
        rollout = await desk.start(
            release_id, plan, organisation=organisation(), author=asking().caller.actor, reason=new.reason
        )
        asking().is_written = True
        await office.refresh()
        return await _status(undercroft, rollout.alias)

    @routes.post("/releases/{release_id}/promote")
    async def promote_release(release_id: str, action: ReleaseAction) -> AliasView:
        """Puts a release in force for everybody, at once."""
        desk = await office.desk(asking().origin)
        status = await desk.promote(
            release_id, organisation=organisation(), author=asking().caller.actor, reason=action.reason
        )
        asking().is_written = True
        await office.refresh()
        return await _status(undercroft, status.alias.alias)


def _aliases(routes: APIRouter, undercroft: Undercroft) -> None:
    office = undercroft.releases

    @routes.get("/aliases/{alias:path}")
    async def alias(alias: str) -> AliasView:
        """What answers for an alias, how its rollout stands, and who moved what."""
        return await _status(undercroft, alias)

    @routes.post("/aliases/{alias:path}/{command}")
    async def move_alias(
        alias: str, command: Literal["pause", "resume", "promote", "rollback"], action: ReleaseAction
    ) -> AliasView:
        """Pauses, resumes or promotes an open rollout, or rolls back: the rollout, or else to the release before."""
        desk = await office.desk(asking().origin)
        meant = "roll_back" if command == "rollback" else command
        await desk.command(
            alias, meant, organisation=organisation(), author=asking().caller.actor, reason=action.reason
        )
        asking().is_written = True
        await office.refresh()
        return await _status(undercroft, alias)


async def _status(undercroft: Undercroft, alias: str) -> AliasView:
    status: Status = await (await undercroft.releases.desk()).status(alias, organisation=organisation())
    gates = [] if status.rollout is None else await states(undercroft.link, status.rollout)
    return AliasView(
        alias=status.alias.alias,
        current=status.alias.current,
        previous=status.alias.previous,
        rollout=None if status.rollout is None else _rollout(status.rollout, gates),
        moves=[_move(each) for each in status.moves],
    )


def _view(release: Release) -> ReleaseView:
    manifest = msgspec.structs.asdict(release.manifest)
    created_at = rfc3339(release.created_us)
    return ReleaseView.model_validate(
        {"id": release.id, **manifest, "note": release.note, "author": release.author, "created_at": created_at}
    )


def _rollout(rollout: Rollout, gates: list[dict[str, Any]]) -> RolloutView:
    return RolloutView.model_validate(
        {
            "id": rollout.id,
            "alias": rollout.alias,
            "stable": rollout.stable,
            "candidate": rollout.candidate,
            "state": rollout.state,
            "step": rollout.step,
            "steps": _steps(rollout.plan),
            "reason": rollout.reason,
            "gates": gates,
            "created_at": rfc3339(rollout.created_us),
        }
    )


def _steps(plan: Plan) -> list[dict[str, float]]:
    return [msgspec.structs.asdict(step) for step in plan.steps]


def _move(moved: Moved) -> ReleaseMove:
    return ReleaseMove.model_validate(
        {
            "move": moved.move,
            "release": moved.release,
            "author": moved.author,
            "reason": moved.reason,
            "evidence": moved.evidence,
            "at": rfc3339(moved.at_us),
        }
    )
