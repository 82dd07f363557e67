"""What roles may do, and that nobody gives away more than they have."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Literal

import msgspec

Permission = Literal["open", "ai", "scrape", "docs", "read", "develop", "operate", "manage"]
"""What a route demands: `open` nothing, `ai` to call models, `scrape` and `docs` to read what it says of itself; of the
management API `read` to look, `develop` to make keys of one's own, `operate` to change what runs, `manage` to say who
may do what."""

Role = Literal["admin", "operator", "developer", "viewer"]

ROLES: Final[Mapping[Role, frozenset[str]]] = {
    "admin": frozenset({"ai", "scrape", "docs", "read", "develop", "operate", "manage"}),
    "operator": frozenset({"ai", "scrape", "docs", "read", "develop", "operate"}),
    "developer": frozenset({"ai", "docs", "read", "develop"}),
    "viewer": frozenset({"scrape", "docs", "read"}),
}
GRANTABLE: Final = ("ai", "scrape", "docs", "read", "develop", "operate", "manage")
_IMPLIED: Final[Mapping[str, tuple[str, ...]]] = {
    "manage": ("operate", "develop", "read"),
    "operate": ("develop", "read"),
    "develop": ("read",),
}

Network = IPv4Network | IPv6Network


def expanded(permissions: Iterable[str]) -> frozenset[str]:
    """With what each brings along: who may manage may also operate, develop and read."""
    given = frozenset(permissions)
    return given.union(*(_IMPLIED.get(each, ()) for each in given))


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may do, and where the bounds are; None is no bound."""

    permissions: frozenset[str] = frozenset()
    models: frozenset[str] | None = None
    """Public model names."""
    routes: frozenset[str] | None = None
    """Path templates, as `/v1/chat/completions`; one that ends in `*` stands for all that begin so."""
    networks: tuple[Network, ...] | None = None
    """Where calls may come from."""
    expires_us: int | None = None

    def admits_route(self, path: str) -> bool:
        """Whether a route's path template is among those it may use."""
        return self.routes is None or any(_covers(each, path) for each in self.routes)

    def admits_address(self, address: str) -> bool:
        """Whether a call may come from this address; one that cannot be read may not."""
        if self.networks is None:
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.networks)


EVERYTHING: Final = Rights(permissions=ROLES["admin"])


def excess(child: Rights, maker: Rights) -> str:
    """What `child` would have and `maker` has not, in words; empty when it is a subset."""
    if more := expanded(child.permissions) - expanded(maker.permissions):
        return f"the permission {', '.join(sorted(more))}"
    if maker.models is not None and (child.models is None or child.models - maker.models):
        return f"models besides {', '.join(sorted(maker.models)) or 'none'}"
    if maker.routes is not None and not _routes_within(child.routes, maker.routes):
        return f"routes besides {', '.join(sorted(maker.routes)) or 'none'}"
    if maker.networks is not None and not _networks_within(child.networks, maker.networks):
        return f"networks besides {', '.join(map(str, maker.networks)) or 'none'}"
    if maker.expires_us is not None and (child.expires_us is None or child.expires_us > maker.expires_us):
        return "a longer life"
    return ""


def both(one: Rights, other: Rights) -> Rights:
    """What is left where both must allow it."""
    return Rights(
        permissions=expanded(one.permissions) & expanded(other.permissions),
        models=_common(one.models, other.models),
        routes=_common_routes(one.routes, other.routes),
        networks=_common_networks(one.networks, other.networks),
        expires_us=min((each for each in (one.expires_us, other.expires_us) if each is not None), default=None),
    )


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """CIDR texts as networks. Raises ValueError for one that is none."""
    return tuple(ip_network(text) for text in texts)


def _covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _routes_within(child: frozenset[str] | None, maker: frozenset[str]) -> bool:
    return child is not None and all(any(_covers(wide, each) for wide in maker) for each in child)


def _networks_within(child: tuple[Network, ...] | None, maker: tuple[Network, ...]) -> bool:
    return child is not None and all(any(_is_inside(each, wide) for wide in maker) for each in child)


def _is_inside(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.subnet_of(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.subnet_of(other)


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _common_routes(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    narrow = {each for each in one if any(_covers(wide, each) for wide in other)}
    return frozenset(narrow | {each for each in other if any(_covers(wide, each) for wide in one)})


def _common_networks(one: tuple[Network, ...] | None, other: tuple[Network, ...] | None) -> tuple[Network, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    narrow = [each for each in one if any(_is_inside(each, wide) for wide in other)]
    return (*narrow, *(each for each in other if each not in narrow and any(_is_inside(each, wide) for wide in one)))
