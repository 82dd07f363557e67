# Made by `undercroft deploy render cloud-run`: change [deploy] in undercroft.toml and render again.
"""Ends with 0 when the server on this port lives. It imports next to nothing, since it runs every two seconds."""

import os
import socket
import sys

port = int(os.environ.get("PORT") or 8000)
try:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = connection.recv(64)
except OSError as error:
    sys.exit(f"nothing answers on port {port}: {error}")
if b" 200 " not in answer:
    sys.exit(f"the server says {answer!r}")
