"""Keeps what was asked and answered, where the operator or the caller wants that: never by itself."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Final, Literal, Protocol

from undercroft.gateway.call import Call, Handler
from undercroft.gateway.contents import Answer, Content
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk

HEADER: Final = "x-undercroft-content"

Mode = Literal["never", "on_request", "always"]


class Contents(Protocol):
    """Takes contents to where they are kept; does not wait for that."""

    def keep(self, content: Content, /) -> None: ...


class KeepContent:
    """Just inside the meter: an answer is kept as its caller saw it, also one that was cut."""

    def __init__(self, contents: Contents, *, mode: Mode) -> None:
        self._contents = contents
        self.mode = mode

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        is_wanted = call.content == "keep" or (self.mode == "always" and call.content != "none")
        return self._kept(call, proceed) if is_wanted else proceed(call)

    async def _kept(self, call: Call, proceed: Handler) -> Reply:
        call.trail.keeps_content = True
        reply = await proceed(call)
        answer = Answer()
        if reply.whole is not None:
            answer.take(reply.whole)
            self._keep(call, answer)
            return reply
        chunks = self._watched(call, reply.chunks, answer)
        return Reply(chunks, dropped=reply.dropped, has_begun=reply.has_begun, limits=reply.limits)

    async def _watched(
        self, call: Call, chunks: AsyncGenerator[Chunk, None], answer: Answer
    ) -> AsyncGenerator[Chunk, None]:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    answer.take(chunk)
                    yield chunk
        finally:
            self._keep(call, answer)

    def _keep(self, call: Call, answer: Answer) -> None:
        request = call.trail.let_through
        if request is not None:  # else it was refused before it became a question
            self._contents.keep(
                Content(
                    id=call.id,
                    organisation=call.who.organisation,
                    created_us=call.started_us,
                    request=request,
                    answer=answer,
                )
            )


class NoteRequest:
    """Inside the guard: a request is kept as guards have let it through."""

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        if call.trail.keeps_content:
            call.trail.let_through = call.request
        return proceed(call)
