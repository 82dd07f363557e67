"""`/api/v1/session`: signing in with name and password, for people in browsers."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from undercroft.access.accounts import SESSION_US, csrf_of
from undercroft.access.roles import ROLES
from undercroft.api.manage.asking import asking
from undercroft.api.sessions import set_cookie
from undercroft.assembly import Undercroft
from undercroft.errors import NotAllowed


class SignInBody(BaseModel):
    """Name and password."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(min_length=1, max_length=100)
    password: str = Field(min_length=1, max_length=200)
    organisation: str = Field(default="default", min_length=1, max_length=100)


class SessionView(BaseModel):
    """Who is signed in."""

    organisation: str
    team: str
    user: str
    role: str | None
    """None for who came with a key."""
    permissions: list[str]
    csrf_token: str | None
    """What every change must carry in `x-csrf-token`; none for who came with a key."""


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()
    access = undercroft.access

    @routes.post("/session")
    async def sign_in(body: SignInBody, request: Request, response: Response) -> SessionView:
        """Signs in with name and password: the answer sets the session's cookie."""
        _demand_own_page(request)
        ask = asking()
        account, token = await access.sign_in(
            user=body.user, password=body.password, organisation=body.organisation, address=ask.address
        )
        is_secure = ask.scheme == "https"
        response.headers["set-cookie"] = set_cookie(token, is_secure=is_secure, max_age_s=SESSION_US // 1_000_000)
        return SessionView(
            organisation=account.organisation,
            team=account.team,
            user=account.user,
            role=account.role,
            permissions=sorted(account.caller.permissions),
            csrf_token=csrf_of(token),
        )

    @routes.get("/session")
    async def session() -> SessionView:
        """Who is signed in, and the token that every change must carry."""
        ask = asking()
        who, permissions = ask.caller.who, ask.caller.permissions
        role = next((name for name, rights in ROLES.items() if rights == permissions and ask.session), None)
        return SessionView(
            organisation=who.organisation,
            team=who.team,
            user=who.user,
            role=role,
            permissions=sorted(permissions),
            csrf_token=csrf_of(ask.session) if ask.session else None,
        )

    @routes.delete("/session", status_code=204)
    async def sign_out() -> Response:
        """Ends the session."""
        ask = asking()
        if ask.session:
            await access.sign_out(ask.session, user=ask.caller.who.user, origin=ask.origin)
        cookie = set_cookie("", is_secure=ask.scheme == "https", max_age_s=0)
        return Response(status_code=204, headers={"set-cookie": cookie})

    return routes


def _demand_own_page(request: Request) -> None:
    """Another site must not sign anybody in: it would see what they then do as its own account."""
    origin = request.headers.get("origin", "")
    is_foreign = bool(origin) and origin.partition("://")[2].lower() != asking().host.lower()
    if is_foreign or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise NotAllowed("This sign-in comes from another site's page.", code="foreign_origin")
