"""Counting tokens without the model's own tokenizer: for estimates, never for a bill the provider itself counted."""

import msgspec

from undercroft.llm.types import ChatRequest, CompletionRequest, Message, Part, Request, Tool

CHARACTERS_PER_TOKEN = 4
"""OpenAI's own rule of thumb for English text."""
TOKENS_PER_MESSAGE = 4
"""What chat templates add around each message."""

TOKENS_PER_TOOL = 16
"""What declaring a tool takes besides its own words."""
TOKENS_PER_IMAGE = 1500
"""About what a large image takes with the usual models; how large it is cannot be seen from its address."""


def estimate_text(characters: int) -> int:
    """Tokens of a text of so many characters, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def estimate_texts(characters: int, messages: int) -> int:
    """Tokens of a conversation of nothing but text."""
    return TOKENS_PER_MESSAGE * messages - (-characters // CHARACTERS_PER_TOKEN)


def estimate_input(request: Request) -> int:
    """Tokens of what is sent to the model."""
    if isinstance(request, ChatRequest):
        return estimate_texts(sum([len(message.text()) for message in request.messages]), len(request.messages))
    pieces = request.prompts if isinstance(request, CompletionRequest) else request.inputs
    return sum(_estimate_piece(piece) for piece in pieces)


def estimate_longest(request: Request) -> int:
    """Tokens of what has to fit into one context: of several prompts or inputs, the longest."""
    if isinstance(request, ChatRequest):
        return estimate_input(request)
    pieces = request.prompts if isinstance(request, CompletionRequest) else request.inputs
    return max(map(_estimate_piece, pieces), default=0)


def _estimate_piece(piece: str | tuple[int, ...] | tuple[Part, ...]) -> int:
    if isinstance(piece, str):
        return estimate_text(len(piece))
    return sum(estimate_text(len(each.text)) if isinstance(each, Part) else 1 for each in piece)


def estimate_conversation(request: ChatRequest) -> int:
    """Tokens of everything a conversation sends, tools and images included: for those who ask before they send."""
    characters = images = 0
    for message in request.messages:
        content = message.content
        if type(content) is str and not message.tool_calls:  # the usual case, by itself a third of the time
            characters += len(content)
        else:
            characters += _characters(message)
            images += _images(message)
    characters += sum(_declared(tool) for tool in request.tools)
    if request.response_format.schema is not None:
        characters += len(msgspec.json.encode(request.response_format.schema))
    fixed = TOKENS_PER_MESSAGE * len(request.messages) + TOKENS_PER_TOOL * len(request.tools)
    return estimate_text(characters) + fixed + TOKENS_PER_IMAGE * images


def _characters(message: Message) -> int:
    return len(message.text()) + sum(len(call.name) + len(call.arguments) for call in message.tool_calls)


def _declared(tool: Tool) -> int:
    schema = tool.format if tool.type == "hosted" else tool.parameters
    return len(tool.name) + len(tool.description) + len(msgspec.json.encode(schema or {}))


def _images(message: Message) -> int:
    """Images and files, each counted as one image."""
    parts = message.content if isinstance(message.content, tuple) else ()
    return sum(part.type in ("image_url", "image", "file", "document") for part in parts)
