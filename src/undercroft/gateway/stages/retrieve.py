"""Looks up what the release that answers wants to know before its model is asked."""

from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from undercroft.gateway.call import Call, Handler, Model
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest
from undercroft.versions.content import RetrievalContent
from undercroft.versions.retrieved import question_in, with_passages

USUAL_CONTEXT: Final = 16_000
"""Tokens, of a model that does not say how many it takes."""
SHARE: Final = 2
"""The part of a model's context that passages may fill is one in so many."""


class Search(Protocol):
    """Finds passages for a question."""

    async def __call__(self, content: RetrievalContent, question: str, call: Call, /) -> Sequence[str]:
        """Best first. Raises UndercroftError kinds."""
        ...


class Admitting(Protocol):
    """A guard, asked about what goes to a model."""

    def admitted(self, call: Call) -> Call:
        """The call as it may go on. Raises Blocked."""
        ...


class Retrieve:
    """Inside the guards, so that what they refuse is not looked up; what was found is shown to them as well."""

    def __init__(self, search: Search, *, guards: Sequence[Admitting]) -> None:
        self._search = search
        self._guards = guards

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        content = call.pinned.retrieval if call.pinned is not None else None
        if content is None or not isinstance(call.request, ChatRequest):
            return proceed(call)
        question = question_in(call.request)
        return self._led(call, call.request, content, question, proceed) if question else proceed(call)

    async def _led(
        self, call: Call, request: ChatRequest, content: RetrievalContent, question: str, proceed: Handler
    ) -> Reply:
        passages = await self._search(content, question, call)
        model = call.trail.found
        assert model is not None, "Find stands before Retrieve"
        led = with_passages(content, request, passages, most_tokens=_room(model))
        call = replace(call, request=led)
        for guard in self._guards:
            call = guard.admitted(call)
        return await proceed(call)


def _room(model: Model) -> int:
    context = model.notes.get("context_length")
    return (context if isinstance(context, int) else USUAL_CONTEXT) // SHARE
