"""Counting tokens without the model's own tokenizer: for estimates, never for a bill the provider itself counted."""

from undercroft.llm.types import ChatRequest, CompletionRequest, Part, Request

CHARACTERS_PER_TOKEN = 4
"""OpenAI's own rule of thumb for English text."""
TOKENS_PER_MESSAGE = 4
"""What chat templates add around each message."""


def estimate_text(characters: int) -> int:
    """Tokens of a text of so many characters, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def estimate_input(request: Request) -> int:
    """Tokens of what is sent to the model."""
    if isinstance(request, ChatRequest):
        texts = sum(len(message.text()) for message in request.messages)
        return estimate_text(texts) + TOKENS_PER_MESSAGE * len(request.messages)
    pieces = request.prompts if isinstance(request, CompletionRequest) else request.inputs
    return sum(_estimate_piece(piece) for piece in pieces)


def _estimate_piece(piece: str | tuple[int, ...] | tuple[Part, ...]) -> int:
    if isinstance(piece, str):
        return estimate_text(len(piece))
    return sum(estimate_text(len(each.text)) if isinstance(each, Part) else 1 for each in piece)
