"""`/api/v1/keys`: virtual keys and what they may use."""

import os
from collections.abc import Callable
from functools import partial
from ipaddress import ip_network
from typing import Annotated, Final, Literal, TypeVar

from fastapi import APIRouter
from msgspec import UNSET
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from undercroft.access.actions import Action
from undercroft.access.audit import Act
from undercroft.access.keys import make_key, new_secret
from undercroft.access.repository import KeyRow, Wanted, keys_of
from undercroft.access.roles import ROLES
from undercroft.api.manage.asking import asking, organisation
from undercroft.api.manage.limits import LimitBody, LimitView, Name, limits_in, views
from undercroft.assembly import Undercroft
from undercroft.assembly import keys as desk
from undercroft.assembly.delegation import change_within, make_within, revoke_within, rotate_within
from undercroft.clock import rfc3339
from undercroft.storage.counters import KEYS

T = TypeVar("T")
_OVERLAP_S: Final = 86_400


def _network(text: str) -> str:
    """A ValueError is told as a wrong value."""
    return str(ip_network(text, strict=False))


Routes = Annotated[
    list[Annotated[str, Field(pattern=r"^/[A-Za-z0-9_/{}.-]*\*?$", max_length=200)]], Field(max_length=50)
]
Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], Field(max_length=50)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewKeyBody(_Body):
    """The key to make."""

    name: str = Field(default="", max_length=200)
    team: Name = "default"
    user: Name = "default"
    models: list[str] | None = None
    """Public model names that it may call; default: all."""
    permissions: list[Literal["ai", "scrape", "docs", "read", "develop", "operate", "manage"]] = ["ai"]
    role: Literal["admin", "operator", "developer", "viewer"] | None = None
    """In place of `permissions`: all that a role may do."""
    routes: Routes | None = None
    """Paths that it may ask for, as the reference writes them; `/v1/*` stands for all that begin so; default: all."""
    networks: Networks | None = None
    """Networks (CIDR) that it may be used from; default: anywhere."""
    tags: dict[str, str] = Field(default={}, max_length=32)
    expires_at: AwareDatetime | None = None
    limits: list[LimitBody] = Field(default=[], max_length=20)


class ChangedKeyBody(_Body):
    """What is to be different; `limits` replaces all limits."""

    name: str | None = Field(default=None, max_length=200)
    models: list[str] | None = None
    routes: Routes | None = None
    networks: Networks | None = None
    expires_at: AwareDatetime | None = None
    limits: list[LimitBody] | None = Field(default=None, max_length=20)


class RotationBody(_Body):
    """How a key is given another secret."""

    overlap_s: Annotated[int, Field(ge=0, le=desk.NO_LONGER_THAN_US // 1_000_000)] = _OVERLAP_S
    """How long the former secret still opens."""


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    team: str
    user: str
    permissions: list[str]
    models: list[str] | None
    routes: list[str] | None
    networks: list[str] | None
    made_by: str | None
    """`key:ID` or `user:ID`: it may never do more than that one may."""
    tags: dict[str, str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    former_secret_until: str | None
    limits: list[LimitView] | None = None
    """None in lists."""


class MadeKey(KeyView):
    """A key with its text, which is shown this one time."""

    key: str


class KeyList(BaseModel):
    """All keys, revoked ones too, the oldest first."""

    data: list[KeyView]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()
    link, now_us = undercroft.link, undercroft.clock.now_us

    async def changed(work: Callable[[Connection], T], act: Callable[[T], Act]) -> T:
        """Writes a change with its entry in the audit log, and has it in force here at once."""
        ask = asking()
        result = await undercroft.access.change(work, act, origin=ask.origin)
        ask.is_written = True
        await link.changed(KEYS)
        return result

    @routes.post("/keys", status_code=201)
    async def create(body: NewKeyBody) -> MadeKey:
        """Makes a virtual key, with no more rights than its maker has. From the first one on, every route but /health*
        wants a key."""
        key = make_key(os.urandom)
        limits = limits_in(body.limits)
        wanted = _wanted(body)
        work = partial(make_within, key=key, wanted=wanted, limits=limits, caller=asking().caller, now_us=now_us())
        state = await changed(work, lambda made: tell_key("key.create", after=made))
        return MadeKey(**view(state).model_dump(), key=key.text)

    @routes.get("/keys")
    async def every() -> KeyList:
        """All keys of the organisation."""
        rows = await link.read(partial(keys_of, organisation=organisation()))
        return KeyList(data=[_row(row) for row in rows])

    @routes.get("/keys/{key}")
    async def one(key: str) -> KeyView:
        """A key and how much of its limits is used."""
        return view(await link.read(partial(desk.show, key=key, organisation=organisation(), now_us=now_us())))

    @routes.patch("/keys/{key}")
    async def change(key: str, body: ChangedKeyBody) -> KeyView:
        """Changes what a key may call and use, and how long."""
        work = partial(change_within, key=key, changes=_changes(body), caller=asking().caller, now_us=now_us())
        _, after = await changed(work, lambda pair: tell_key("key.change", before=pair[0], after=pair[1]))
        return view(after)

    @routes.post("/keys/{key}/rotate")
    async def rotate(key: str, body: RotationBody | None = None) -> MadeKey:
        """Gives a key another secret; its id, its limits and what it has used stay."""
        overlap_s = _OVERLAP_S if body is None else body.overlap_s
        fresh = new_secret(key, os.urandom)
        until_us = now_us() + overlap_s * 1_000_000
        work = partial(rotate_within, fresh=fresh, caller=asking().caller, former_until_us=until_us)
        row = await changed(work, lambda row: Act(action="key.rotate", subject=row.id, after={"overlap_s": overlap_s}))
        return MadeKey(**_row(row).model_dump(), key=fresh.text)

    @routes.post("/keys/{key}/revoke")
    async def revoke(key: str) -> KeyView:
        """Closes the door to a key and to those that it has made, for good, in every process within 2 s."""
        work = partial(revoke_within, key=key, caller=asking().caller, now_us=now_us())
        return _row(await changed(work, lambda row: Act(action="key.revoke", subject=row.id)))

    return routes


def view(state: desk.KeyState) -> KeyView:
    """As the API shows it."""
    return _row(state.row).model_copy(update={"limits": views(state.limits)})


def _row(row: KeyRow) -> KeyView:
    return KeyView(
        id=row.id,
        name=row.name,
        team=row.team,
        user=row.user,
        permissions=list(row.permissions),
        models=None if row.models is None else list(row.models),
        routes=None if row.routes is None else list(row.routes),
        networks=None if row.networks is None else list(row.networks),
        made_by=row.maker or None,
        tags=dict(row.tags),
        created_at=rfc3339(row.created_us),
        expires_at=_time(row.expires_us),
        revoked_at=_time(row.revoked_us),
        former_secret_until=_time(row.former_until_us),
    )


def tell_key(action: Action, *, after: desk.KeyState, before: desk.KeyState | None = None) -> Act:
    """A key's change as the audit log has it."""
    was = None if before is None else view(before).model_dump(mode="json", exclude={"limits": {"__all__": {"used"}}})
    now = view(after).model_dump(mode="json", exclude={"limits": {"__all__": {"used"}}})
    return Act(action=action, subject=after.row.id, before=was, after=now)


def _wanted(body: NewKeyBody) -> Wanted:
    permissions = sorted(ROLES[body.role]) if body.role is not None else body.permissions
    return Wanted(
        name=body.name,
        team=body.team,
        user=body.user,
        permissions=tuple(permissions),
        models=body.models,
        routes=body.routes,
        networks=body.networks,
        tags=body.tags,
        expires_us=_us(body.expires_at),
    )


def _changes(body: ChangedKeyBody) -> desk.Changes:
    given = body.model_fields_set
    return desk.Changes(
        name=(body.name or "") if "name" in given else UNSET,
        models=body.models if "models" in given else UNSET,
        routes=body.routes if "routes" in given else UNSET,
        networks=body.networks if "networks" in given else UNSET,
        expires_us=_us(body.expires_at) if "expires_at" in given else UNSET,
        limits=limits_in(body.limits or []) if "limits" in given else UNSET,
    )


def _time(moment_us: int | None) -> str | None:
    return None if moment_us is None else rfc3339(moment_us)


def _us(moment: AwareDatetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000_000)
