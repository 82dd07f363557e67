"""The processes of `serve --workers N`, looked at from outside. Linux only."""

import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import msgspec

from tests.support.server import Server

PROC = Path("/proc")


def children(server: Server, kind: str) -> list[int]:
    """The server's living processes of a kind, `gateway` or `model`, oldest first."""
    found = []
    for folder in PROC.glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == server.pid and f"undercroft.api.{kind}_process".encode() in command:
            found.append(int(folder.name))
    return sorted(found)


def option(pid: int, name: str) -> str:
    """What a process was started with."""
    words = (PROC / str(pid) / "cmdline").read_text().split("\0")
    return words[words.index(name) + 1]


def has_mapped(pid: int, path: Path) -> bool:
    """Whether a process has a file in its memory."""
    return str(path.resolve()) in (PROC / str(pid) / "maps").read_text()


class Caller:
    """A client with one connection that it keeps, and the worker that answers it."""

    def __init__(self, server: Server, *, timeout_s: float = 30) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=timeout_s)
        self._connection.connect()
        self._server = server
        self.answered: list[str] = []
        """Ids of requests whose answer was read to its end."""

    @property
    def worker(self) -> int:
        """The process that holds the other end."""
        ours, theirs = self._connection.sock.getsockname()[1], self._server.port
        for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
            _, local, remote, *_, inode = line.split()[:10]
            if (int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16)) == (theirs, ours):
                break
        else:
            raise AssertionError("the connection is closed")
        for pid in children(self._server, "gateway"):
            for descriptor in (PROC / str(pid) / "fd").iterdir():
                if descriptor.is_symlink() and str(descriptor.readlink()) == f"socket:[{inode}]":
                    return pid
        raise AssertionError("no worker has taken the connection")

    def ask(self, path: str, body: object = None) -> tuple[int, bytes]:
        """Status and body. Raises OSError and HTTPException as the connection does."""
        data = None if body is None else msgspec.json.encode(body)
        self._connection.request("GET" if data is None else "POST", path, data, {"content-type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        self.answered.append(response.headers["x-request-id"])
        return response.status, content

    def chat(self, text: str = "hi", *, model: str = "chat") -> int:
        return self.ask("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}]})[0]

    def close(self) -> None:
        self._connection.close()


class Listener(threading.Thread):
    """Reads one streamed answer to its end."""

    def __init__(self, server: Server, *, model: str) -> None:
        super().__init__()
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = {"model": model, "messages": [{"role": "user", "content": "tell"}], "stream": True}
        self._connection.request("POST", "/v1/chat/completions", msgspec.json.encode(body))
        self._response = self._connection.getresponse()
        self.heard = self._response.read1()
        self.start()

    def run(self) -> None:
        try:
            while piece := self._response.read1():
                self.heard += piece
        except (OSError, HTTPException):
            return  # what was heard until then shows that it is not whole
        finally:
            self._connection.close()

    @property
    def is_whole(self) -> bool:
        return self.heard.endswith(b"data: [DONE]\n\n")


def one_each(server: Server, *, most: int = 64) -> list[Caller]:
    """A caller for each worker: connections are spread by their port, so it takes a few tries."""
    workers = children(server, "gateway")
    found: dict[int, Caller] = {}
    for _ in range(most):
        caller = Caller(server)
        assert caller.ask("/health")[0] == 200
        if caller.worker in found:
            caller.close()
        else:
            found[caller.worker] = caller
        if len(found) == len(workers):
            return list(found.values())
    raise AssertionError(f"{most} connections reached {list(found)} of {workers}")
