"""Which addresses a URL that came through the API may reach: public ones, and those that the operator allows.

A name is looked up once, every address it has is judged, and the connection is made to one of those very addresses:
a second look-up, which an attacker's name server could answer differently, never happens. Redirects are not followed
by the client at all.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from undercroft.egress.origin import Origin
from undercroft.errors import AddressRefused, UpstreamUnreachable

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Name and port to addresses, as text. Raises OSError."""

PORTS: Final = {"http": 80, "https": 443}
MAX_URL_CHARACTERS: Final = 2000
ADDRESSES_TRIED: Final = 3
"""Of those that one name has."""

# IANA's special-purpose registries, and one public address behind which Azure keeps every machine's secrets. Written
# out, because what Python's `is_global` says has changed between versions.
_FORBIDDEN_4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_UNICAST_6: Final = IPv6Network("2000::/3")
_FORBIDDEN_6: Final = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
"""Inside 2000::/3: Teredo and benchmarks, documentation, 6to4 (which carries any IPv4 address), documentation."""
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Where a network without IPv4 puts the public IPv4 addresses."""

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Guard:
    """Judges URLs when they are given, and addresses when a connection is to be made to them."""

    def __init__(self, *, allow: Sequence[str] = (), resolve: Resolve | None = None) -> None:
        """`allow` are networks (CIDR) that may be reached too, at any port and without TLS."""
        self._allow = _networks(allow)
        self._resolve = resolve or _look_up

    def allow(self, networks: Sequence[str]) -> None:
        """From now on these, in place of those before."""
        self._allow = _networks(networks)

    def check_url(self, url: str) -> tuple[Origin, str]:
        """Origin and request target of a URL that may be called, as far as the URL itself shows.

        Raises AddressRefused, with the reason in words.
        """
        origin, target = parse_url(url)
        literal = _literal(origin.host)
        if literal is not None:
            self._judge(origin, literal)
        elif not self._allow:
            self._demand_public(origin)  # else its addresses may be allowed ones
        return origin, target

    async def admit(self, origin: Origin) -> list[str]:
        """The addresses behind `origin`, all of them judged. Raises AddressRefused and UpstreamUnreachable."""
        literal = _literal(origin.host)
        if literal is not None:
            found = [literal]
        else:
            try:
                found = [ip_address(text) for text in await self._resolve(origin.host, origin.port)]
            except OSError as error:
                raise UpstreamUnreachable(f"The name {origin.host} cannot be found: {error.strerror}.") from error
        for address in found:
            self._judge(origin, address)
        if not found:
            raise UpstreamUnreachable(f"The name {origin.host} has no address.")
        return [str(address) for address in found[:ADDRESSES_TRIED]]

    def _judge(self, origin: Origin, address: Address) -> None:
        if _is_in(address, self._allow):
            return
        if not is_public(address):
            raise _refused(
                f"{origin.host} is at {address}, which is no public address" if str(address) != origin.host
                else f"{address} is no public address"
            )  # fmt: skip
        self._demand_public(origin)

    @staticmethod
    def _demand_public(origin: Origin) -> None:
        if origin.scheme != "https":
            raise _refused("It takes https")
        if origin.port not in PORTS.values():
            raise _refused(f"Port {origin.port} is none of 80 and 443")


def is_public(address: Address) -> bool:
    """Whether it belongs to a machine on the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_4)
    if address.scope_id is not None:
        return False
    if address in _MAPPED or address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _UNICAST_6 and not any(address in network for network in _FORBIDDEN_6)


def parse_url(url: str) -> tuple[Origin, str]:
    """A URL's origin and request target, for `http` and `https`. Raises AddressRefused for what two readers could
    read differently."""
    if not 0 < len(url) <= MAX_URL_CHARACTERS:
        raise _refused(f"It has {len(url)} characters, and may have {MAX_URL_CHARACTERS}")
    if not url.isprintable() or any(character in url for character in ' \\"<>^`{|}'):
        raise _refused("It holds a character that no URL may hold")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:  # a port that is none, brackets that do not match
        raise _refused(f"It cannot be read: {error}") from error
    if parts.scheme not in PORTS:
        raise _refused("It takes a URL such as https://example.com/hook")
    if "@" in parts.netloc:
        raise _refused("It takes no user name or password")
    if parts.fragment or url.endswith("#"):
        raise _refused("It takes no #")
    if "%" in parts.netloc:
        raise _refused("It takes a host without %")
    if port == 0:
        raise _refused("Port 0 is none")
    host = _host(parts.hostname or "")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise _refused("It takes a path in ASCII; write other characters as %XX")
    return Origin(parts.scheme, host, PORTS[parts.scheme] if port is None else port), target


def _host(name: str) -> str:
    """The host in the one spelling that we look up and put into the `Host` field."""
    if ":" in name:
        try:
            return str(IPv6Address(name))
        except ValueError:
            raise _refused(f"{name!r} is no address") from None
    try:
        plain = name.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise _refused(f"{name!r} is no host name") from None
    labels = plain.split(".")
    if len(plain) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(f"{name!r} is no host name")
    if _NUMBER.fullmatch(labels[-1]):  # 2130706433, 0x7f.1, 017700000001: what the C library reads as an address
        try:
            return str(IPv4Address(plain))
        except ValueError:
            raise _refused(f"{name!r} is no address in its usual form") from None
    return plain


def _literal(host: str) -> Address | None:
    """The address that a host is without a look-up."""
    if host == "localhost" or host.endswith(".localhost"):
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_in(address: Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _networks(allow: Sequence[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network) for network in allow)


def _refused(why: str) -> AddressRefused:
    return AddressRefused(
        f"This URL may not be called. {why}.",
        param="url",
        hint="[egress] allow names networks that may be reached besides public addresses over https.",
    )


async def _look_up(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
