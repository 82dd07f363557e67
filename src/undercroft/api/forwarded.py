"""Who a request comes from behind proxies: what they say is believed only where the operator trusts them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def client_of(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The nearest address that is no trusted proxy: `peer` itself unless it is one.

    `forwarded_for` is the text of X-Forwarded-For, the client first. It is read from its end: what stands before the
    first address that is not trusted was written by strangers. An entry that is no address ends the search.
    """
    found = peer
    for entry in (peer, *reversed(forwarded_for.split(","))) if forwarded_for else (peer,):
        address = _address(entry)
        if address is None:
            return found
        found = str(address)
        if not any(address in network for network in trusted):
            return found
    return found


def scheme_of(peer: str, scheme: str, forwarded_proto: str, trusted: Sequence[Network]) -> str:
    """`https` also where a trusted proxy says that it was."""
    said = forwarded_proto.rpartition(",")[2].strip().lower()
    address = _address(peer)
    if said in ("http", "https") and address is not None and any(address in network for network in trusted):
        return said
    return scheme


def _address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("[") and "]" in text:
        text = text[1 : text.index("]")]
    elif text.count(":") == 1:  # an IPv4 address with a port
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
