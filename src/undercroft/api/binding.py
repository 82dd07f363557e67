"""Taking a port, or saying why not."""

import errno
import ipaddress
import socket

from undercroft.errors import UndercroftError


class PortTaken(UndercroftError):
    """Somebody else listens there."""

    code = "port_taken"


def bind(host: str, port: int, *, shares: bool = False) -> socket.socket:
    """A bound (not yet listening) TCP socket. Raises PortTaken or UndercroftError, with what to do.

    One that `shares` leaves room for others of the same kind on its port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UndercroftError(f"'{host}' is not an address of this machine: {error.strerror}.") from error
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares:  # only when asked for: two servers of one user would otherwise share the port without a word
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"Port {port} on {host} is taken.", hint=f"Type: make run PORT={port + 1}") from error
        raise UndercroftError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
    return sock


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this machine can reach it. A Unix socket is as private as its folder."""
    if sock.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(sock.getsockname()[0]).is_loopback
