"""Who may come in: a plain decision over what a request shows and what the operator set."""

import hmac
import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from undercroft.access.callers import LOCAL, NOBODY, OPERATOR, SCRAPER, Caller
from undercroft.access.keys import PREFIX, KeyRing
from undercroft.access.roles import Permission
from undercroft.errors import Misdirected, NotAllowed, NotAuthenticated

Bind = Literal["loopback", "public", "unknown"]
"""Where the server listens; unknown under a server that is not ours."""

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Door:
    """What the operator decided."""

    bind: Bind
    master_key: str | None = None
    metrics_token: str | None = None
    allowed_hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    """Whose pages may call it from a browser."""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What the request shows. `host` is the Host header, `peer` the client's address, `credential` the key it sent,
    `route` the path template that it was found to ask for, `origin` the site whose page has a browser ask."""

    host: str
    peer: str
    credential: str
    route: str = ""
    origin: str = ""


def admit(door: Door, visit: Visit, permission: Permission, keys: KeyRing, *, now_us: int) -> Caller:
    """Lets the visitor in, or raises NotAuthenticated (401), NotAllowed (403), Misdirected (421) or Unavailable."""
    if permission == "open":
        return NOBODY
    caller = _identify(door, visit, keys, permission=permission, now_us=now_us)
    demand(caller, permission)
    if visit.route and not caller.rights.admits_route(visit.route):
        raise NotAllowed(f"This key may not use {visit.route}.", code="route_not_allowed")
    if not caller.rights.admits_address(visit.peer):
        raise NotAllowed("This key may not be used from this address.", code="address_not_allowed")
    return caller


def demand(caller: Caller, permission: Permission) -> None:
    """Raises NotAllowed where the caller lacks a permission."""
    if permission not in caller.rights.permissions:
        raise NotAllowed(f"This key may not use this route: it lacks the permission '{permission}'.")


def _identify(door: Door, visit: Visit, keys: KeyRing, *, permission: Permission, now_us: int) -> Caller:
    credential = visit.credential
    if door.master_key is not None and credential and _same(credential, door.master_key):
        return OPERATOR
    may_scrape = permission in ("scrape", "docs") and door.metrics_token is not None
    if may_scrape and credential and _same(credential, door.metrics_token or ""):
        return SCRAPER
    if credential.startswith(PREFIX):
        key = keys.find(credential, now_us=now_us)
        if key is None:
            raise NotAuthenticated("This API key is not known, has expired, or was revoked.")
        return key
    if door.master_key is not None or keys.any():
        raise NotAuthenticated(
            "This server wants an API key." if not credential else "This API key is not known.",
            hint="Send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.",
        )
    return _through_open_door(door, visit)


def _through_open_door(door: Door, visit: Visit) -> Caller:
    if door.bind != "loopback" and not (door.bind == "unknown" and is_loopback(visit.peer)):
        raise NotAuthenticated(
            "This server has no key yet and serves only its own machine.",
            hint=f"Its operator types: {MASTER_KEY_LINE}",
        )
    name = host_name(visit.host)
    if name not in LOCAL_HOSTS and name not in door.allowed_hosts:
        raise Misdirected(
            f"This server does not answer for the host '{visit.host}'.",
            hint="Use localhost, or add the name to [server] allowed_hosts.",
        )
    if visit.origin and visit.origin not in door.origins:
        site = host_name(visit.origin.partition("://")[2])
        if site not in LOCAL_HOSTS and site not in door.allowed_hosts:
            raise NotAllowed(
                "This server has no key yet, and does nothing for the pages of other sites.",
                code="foreign_origin",
                hint="Name the site in [server] cors_origins if it is yours.",
            )
    return LOCAL


MASTER_KEY_LINE = "export UNDERCROFT_MASTER_KEY=\"$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')\""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?", re.ASCII)


def is_host(host: str) -> bool:
    """Whether this may stand in a Host header: a name or address, and a port."""
    return _HOST.fullmatch(host) is not None


def host_name(host: str) -> str:
    """The name in a Host header, lower case and without its port; empty when it is not one."""
    form = _HOST.fullmatch(host)
    return form[1].lower().rstrip(".") if form else ""


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _same(presented: str, expected: str) -> bool:
    return hmac.compare_digest(presented.encode(), expected.encode())
