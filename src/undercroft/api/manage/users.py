"""`/api/v1/users` and `/api/v1/organisations`: who signs in, and for whom."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from undercroft.access.accounts import Account, accounts_of, add_account, change_account
from undercroft.access.actions import Action
from undercroft.access.audit import Act
from undercroft.access.organisations import OrganisationRow, add_organisation, all_organisations
from undercroft.access.roles import ROLES, Rights, excess
from undercroft.api.manage.asking import asking, organisation
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339
from undercroft.errors import InvalidRequest, NotAllowed
from undercroft.storage.counters import KEYS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,100}$")]
Role = Literal["admin", "operator", "developer", "viewer"]
Password = Annotated[str, Field(min_length=12, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewUserBody(_Body):
    """The account to make."""

    user: Name
    team: Name = "default"
    role: Role = "viewer"
    password: Password


class ChangedUserBody(_Body):
    """What is to be different; its sessions end."""

    role: Role | None = None
    password: Password | None = None
    disabled: bool | None = None


class UserView(BaseModel):
    """An account."""

    user: str
    team: str
    role: str
    disabled: bool
    created_at: str


class UserList(BaseModel):
    """All accounts of the organisation, by name."""

    data: list[UserView]


class NewOrganisationBody(_Body):
    """The organisation to make, with its first admin."""

    id: Name
    name: str = Field(default="", max_length=200)
    admin: Name
    password: Password


class OrganisationView(BaseModel):
    """An organisation: nobody of another sees anything of it."""

    id: str
    name: str
    created_at: str


class OrganisationList(BaseModel):
    """All organisations."""

    data: list[OrganisationView]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()
    _accounts(routes, undercroft)
    _organisations(routes, undercroft)
    return routes


def _accounts(routes: APIRouter, undercroft: Undercroft) -> None:
    access, link, now_us = undercroft.access, undercroft.link, undercroft.clock.now_us

    @routes.get("/users")
    async def users() -> UserList:
        """All accounts of the organisation."""
        rows = await link.read(partial(accounts_of, organisation=organisation()))
        return UserList(data=[_view(row) for row in rows])

    @routes.post("/users", status_code=201)
    async def create_user(body: NewUserBody) -> UserView:
        """Makes an account, with no more rights than its maker has."""
        _demand_subset(body.role)
        work = partial(
            add_account,
            user=body.user,
            team=body.team,
            role=body.role,
            password=await access.hashed(body.password),
            organisation=organisation(),
            now_us=now_us(),
        )
        ask = asking()
        account = await access.change(work, partial(_act, "account.create", changed=()), origin=ask.origin)
        ask.is_written = True
        return _view(account)

    @routes.patch("/users/{user}")
    async def change_user(user: str, body: ChangedUserBody) -> UserView:
        """Gives an account another role or password, closes or opens it. Its sessions end, and keys that it has made
        go with what it may no longer do."""
        ask = asking()
        if user == ask.caller.who.user and ask.session and (body.disabled or body.role is not None):
            raise InvalidRequest("You cannot close your own account, or change its role.", param="user")
        changes: dict[str, object] = {}
        if body.role is not None:
            _demand_subset(body.role)
            changes["role"] = body.role
        if body.password is not None:
            changes["password"] = await access.hashed(body.password)
        if body.disabled is not None:
            changes["disabled"] = body.disabled
        work = partial(change_account, user=user, changes=changes, organisation=organisation(), now_us=now_us())
        act = partial(_act, "account.change", changed=tuple(changes))
        account = await access.change(work, act, origin=ask.origin)
        ask.is_written = True
        await link.changed(KEYS)
        return _view(account)


def _organisations(routes: APIRouter, undercroft: Undercroft) -> None:
    access, link, now_us = undercroft.access, undercroft.link, undercroft.clock.now_us

    @routes.get("/organisations")
    async def organisations() -> OrganisationList:
        """All organisations."""
        return OrganisationList(data=[_organisation(row) for row in await link.read(all_organisations)])

    @routes.post("/organisations", status_code=201)
    async def create_organisation(body: NewOrganisationBody) -> OrganisationView:
        """Makes an organisation with its first admin, who makes all its other accounts and keys."""
        work = partial(
            add_organisation,
            id=body.id,
            name=body.name,
            admin=body.admin,
            password=await access.hashed(body.password),
            now_us=now_us(),
        )
        ask = asking()
        row = await access.change(
            work,
            lambda made: Act(action="organisation.create", subject=made.id, after={"admin": body.admin}),
            origin=ask.origin,
        )
        ask.is_written = True
        return _organisation(row)


def _demand_subset(role: Role) -> None:
    if more := excess(Rights(permissions=ROLES[role]), asking().caller.rights):
        raise NotAllowed(f"You cannot give an account {more}: you have not got it.", code="more_than_its_maker")


def _act(action: Action, account: Account, *, changed: tuple[str, ...]) -> Act:
    return Act(action=action, subject=account.user, after={**_view(account).model_dump(), "changed": changed})


def _view(account: Account) -> UserView:
    return UserView(
        user=account.user,
        team=account.team,
        role=account.role,
        disabled=account.disabled_us is not None,
        created_at=rfc3339(account.created_us),
    )


def _organisation(row: OrganisationRow) -> OrganisationView:
    return OrganisationView(id=row.id, name=row.name, created_at=rfc3339(row.created_us))
