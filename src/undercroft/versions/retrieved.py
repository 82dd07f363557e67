"""What was found for a question, put where the release's retrieval wants it."""

from collections.abc import Sequence

from msgspec.structs import replace

from undercroft.llm.tokens import estimate_text
from undercroft.llm.types import ChatRequest, Message, Part
from undercroft.versions.content import PASSAGES, RetrievalContent

NOTHING = "(nothing was found)"
AROUND_TOKENS = 4
"""Of a passage: its number and the lines around it."""


def question_in(request: ChatRequest) -> str:
    """What the user said last; empty where there is nothing to look up."""
    said = next((message.text() for message in reversed(request.messages) if message.role == "user"), "")
    return said.strip()


def with_passages(
    content: RetrievalContent, request: ChatRequest, passages: Sequence[str], *, most_tokens: int
) -> ChatRequest:
    """The request with its passages, best first: as many as fit into so many tokens, and the first in any case.

    It is written anew for the provider.
    """
    kept: list[str] = []
    for number, passage in enumerate(passages, 1):
        most_tokens -= estimate_text(len(passage)) + AROUND_TOKENS
        if most_tokens < 0 and kept:
            break
        kept.append(f"[{number}] {passage}")
    told = content.template.replace(PASSAGES, "\n\n".join(kept) or NOTHING)
    messages = [*request.messages]
    if content.role == "system":
        messages.insert(_end_of_head(messages), Message(role="system", content=told))
    else:
        last = max(place for place, message in enumerate(messages) if message.role == "user")
        messages[last] = _behind(told, messages[last])
    return replace(request, messages=tuple(messages), source=None)


def _end_of_head(messages: Sequence[Message]) -> int:
    """Behind what the system is told at the beginning: some models take such messages nowhere else."""
    for place, message in enumerate(messages):
        if message.role not in ("system", "developer"):
            return place
    return len(messages)


def _behind(told: str, message: Message) -> Message:
    content = message.content
    if content is None or isinstance(content, str):
        return replace(message, content=f"{told}\n\n{content or ''}")
    return replace(message, content=(Part(type="text", text=told + "\n\n"), *content))
