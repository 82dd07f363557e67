"""What a model provider must do. One provider object serves one deployment: it knows its model name, address and key.

Each kind of call is a Protocol of its own: a provider has the methods of what it can do, and is asked by `isinstance`.
`undercroft.testing.providers` holds what every implementation owes, as a conformance suite.
"""

from typing import Protocol, runtime_checkable

from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, CompletionRequest, EmbeddingsRequest, ModerationRequest


@runtime_checkable
class ChatProvider(Protocol):
    """Continues conversations.

    Returns once the upstream has accepted the call and its first piece is there (so that a retry is still possible
    until then); raises only UpstreamError kinds, InvalidRequest (this model cannot do that) and Unavailable (it is
    loading), also out of the stream. Closing the reply's chunks stops the upstream. Every choice of a finished stream
    had its `finish_reason`; a stream that was cut raises UpstreamGarbled or UpstreamUnreachable instead of ending.
    """

    name: str

    async def send(self, request: ChatRequest, /) -> Reply: ...


@runtime_checkable
class CompletionProvider(Protocol):
    """Continues plain text; the promises of ChatProvider hold."""

    async def complete(self, request: CompletionRequest, /) -> Reply: ...


@runtime_checkable
class EmbeddingProvider(Protocol):
    """Turns texts into vectors: one chunk with one vector per input, in order, and the usage."""

    async def embed(self, request: EmbeddingsRequest, /) -> Reply: ...


@runtime_checkable
class ModerationProvider(Protocol):
    """Judges texts: one chunk with one verdict per input, in order."""

    async def moderate(self, request: ModerationRequest, /) -> Reply: ...


@runtime_checkable
class TokenCounter(Protocol):
    """Says how many tokens a conversation is, without answering it: as its model will count them."""

    async def count_tokens(self, request: ChatRequest, /) -> int: ...


@runtime_checkable
class CheckableProvider(Protocol):
    """Can be asked how it is without a token being spent."""

    async def check(self) -> None:
        """Returns when it answers and takes our credential; raises only UpstreamError kinds and Unavailable."""
        ...


@runtime_checkable
class ResponsesProvider(Protocol):
    """A ChatProvider that passes requests of OpenAI's Responses on in their own format, where `speaks_responses`.

    Others see the conversation in them, and nothing of the format's own tools and items.
    """

    speaks_responses: bool
