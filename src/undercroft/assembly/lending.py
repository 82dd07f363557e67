"""What `undercroft.generate` asks through: an undercroft of its own, or what runs around a route or job."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from undercroft.clock import Clock
from undercroft.gateway.call import Call
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.llm.types import ChatRequest, Message
from undercroft.record import Who
from undercroft.telemetry.trace_context import current


@dataclass(frozen=True, slots=True)
class Line:
    """A gateway on its event loop, and who is charged."""

    gateway: Gateway
    ids: Ids
    clock: Clock
    timeout_s: float
    loop: asyncio.AbstractEventLoop
    who: Who

    async def ask(self, prompt: str, model: str | None) -> str:
        """The text of one answer. Only on its loop."""
        started = self.clock.monotonic()
        below = current.get()
        call = Call(
            id=self.ids.new("req_"),
            endpoint="generate",
            who=self.who,
            request=ChatRequest(model=model or "", messages=(Message(role="user", content=prompt),)),
            started_us=self.clock.now_us(),
            started=started,
            deadline=started + self.timeout_s,
            trace=below.trace if below else "",
            traceparent=below.header() if below else "",
        )
        reply = await self.gateway.send(call)
        return (await reply.read()).text()


_lent: ContextVar[Line | None] = ContextVar("undercroft_line", default=None)


def borrowed() -> Line | None:
    """What was lent to this task or thread."""
    return _lent.get()


@contextmanager
def lent(line: Line) -> Iterator[None]:
    """In the block, `generate` and `agenerate` ask through this."""
    token = _lent.set(line)
    try:
        yield
    finally:
        _lent.reset(token)
