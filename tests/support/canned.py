"""An upstream without a socket: the answer's bytes in the pieces a test cuts them into."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import cast

from undercroft.egress.client import Client
from undercroft.egress.origin import Origin
from undercroft.egress.response import Response
from undercroft.errors import UpstreamError


class CannedResponse:
    """What `egress.response.Response` is for a provider: pieces, and then the end or a failure."""

    def __init__(
        self,
        pieces: Iterable[bytes],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        failure: UpstreamError | None = None,
    ) -> None:
        self.status = status
        self.headers = headers or {}
        self._pieces = iter(pieces)
        self._failure = failure
        self.is_closed = False

    async def read(self) -> bytes:
        for piece in self._pieces:
            if piece:
                return piece
        if self._failure is not None:
            raise self._failure
        return b""

    async def body(self, limit_bytes: int) -> bytes:
        content = b"".join(self._pieces)
        assert len(content) <= limit_bytes
        if self._failure is not None:
            raise self._failure
        return content

    def said_nothing(self) -> None:
        """There is no connection whose time could run out."""

    def close(self) -> None:
        self.is_closed = True

    def discard(self) -> None:
        self.is_closed = True


class CannedClient:
    """Gives the same answer to every call, and keeps what was asked."""

    def __init__(self, *pieces: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.pieces: tuple[bytes, ...] = pieces
        self.failure: UpstreamError | None = None
        self.status = status
        self.headers = headers
        self.asked: list[tuple[Origin, bytes, bytes]] = []

    async def send(self, origin: Origin, head: bytes, body: bytes, **_: float | None) -> Response:
        self.asked.append((origin, head, body))
        await asyncio.sleep(0)
        canned = CannedResponse(self.pieces, status=self.status, headers=self.headers, failure=self.failure)
        return cast("Response", canned)

    @property
    def client(self) -> Client:
        """As what a provider takes it for."""
        return cast("Client", self)
