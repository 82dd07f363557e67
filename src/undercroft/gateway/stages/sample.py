"""Shows a share of the answers that releases give to whoever judges them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from undercroft.gateway.call import Call, Handler
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Chunk

LONGEST: Final = 200_000
"""Characters of a stream that are kept to be judged: a longer one is not."""

Wants = Callable[[Call], bool]
"""Says, once it is known which release answers, whether an answer is to be judged."""
Hand = Callable[[Call, str], None]
"""Takes a whole answer as its caller has seen it, without waiting; the call is as its caller has made it."""


class Sample:
    """Outside of what rewrites the call. An answer that failed is judged by nobody: the ledger tells of it."""

    def __init__(self, wants: Wants, hand: Hand) -> None:
        self._wants = wants
        self._hand = hand

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        reply = await proceed(call)
        if not call.trail.release or not isinstance(call.request, ChatRequest) or not self._wants(call):
            return reply
        if reply.whole is not None:
            self._hand(call, reply.whole.text())
            return reply
        chunks = self._heard(call, reply.chunks)
        return Reply(chunks, dropped=reply.dropped, has_begun=reply.has_begun, limits=reply.limits)

    async def _heard(self, call: Call, chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
        texts: list[str] = []
        length = 0
        async with aclosing(chunks):
            async for chunk in chunks:
                text = chunk.text()
                length += len(text)
                if length <= LONGEST:
                    texts.append(text)
                yield chunk
        if length <= LONGEST:
            self._hand(call, "".join(texts))
