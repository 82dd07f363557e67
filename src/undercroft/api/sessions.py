"""Cookies of who has signed in: for the management API and the pages, never for the AI routes."""

from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from undercroft.access.callers import Caller
from undercroft.access.roles import Permission
from undercroft.api.exchange import Exchange
from undercroft.assembly.access import AccessDesk
from undercroft.errors import NotAllowed

COOKIE: Final = "undercroft_session"
SECURE_COOKIE: Final = f"__Host-{COOKIE}"
"""Behind TLS: the prefix makes browsers refuse it without Secure, from another host or for a part of the paths."""
SAFE: Final = frozenset({"GET", "HEAD"})
_NOT_WITH_COOKIES: Final = frozenset({"ai", "scrape", "open"})


async def signed_in(desk: AccessDesk, exchange: Exchange, permission: Permission) -> Caller | None:
    """Who has signed in, if the route takes cookies and this one is a living session's.

    Raises NotAllowed for a change that does not come from a page of ours.
    """
    if permission in _NOT_WITH_COOKIES or not exchange.header(b"cookie") or exchange.credential:
        return None
    token = cookie_in(exchange.header(b"cookie"), is_secure=exchange.scheme == "https")
    if not token:
        return None
    caller = await desk.signed_in(token)
    if caller is not None and exchange.method not in SAFE:
        demand_own_page(exchange)
        _demand_token(exchange, token)
    if caller is not None:
        exchange.session = token
    return caller


def demand_own_page(exchange: Exchange) -> None:
    """Raises NotAllowed where a browser says that another site's page makes it do this."""
    origin, site = exchange.header(b"origin"), exchange.header(b"sec-fetch-site")
    is_foreign = bool(origin) and urlsplit(origin).netloc.lower() != exchange.header(b"host").lower()
    if is_foreign or site in ("cross-site", "same-site"):
        raise NotAllowed("This change comes from another site's page.", code="foreign_origin")


def cookie_in(header: str, *, is_secure: bool) -> str:
    """The session's token in a Cookie header; empty when there is none."""
    try:
        found = SimpleCookie(header).get(SECURE_COOKIE if is_secure else COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def set_cookie(token: str, *, is_secure: bool, max_age_s: int) -> str:
    """The value of Set-Cookie; an age of 0 takes the cookie away."""
    name = SECURE_COOKIE if is_secure else COOKIE
    flags = "HttpOnly; SameSite=Strict; Path=/" + ("; Secure" if is_secure else "")
    return f"{name}={token}; Max-Age={max_age_s}; {flags}"


def _demand_token(exchange: Exchange, token: str) -> None:
    from undercroft.access.accounts import is_csrf

    if not is_csrf(exchange.header(b"x-csrf-token"), token):
        raise NotAllowed(
            "A change with a session's cookie needs the header x-csrf-token.",
            code="csrf_token_wrong",
            hint="GET /api/v1/session says it.",
        )
