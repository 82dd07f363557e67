"""OpenAI's chat completions: `decode`, `whole` and `ChatStream` face callers, the others face providers."""

from undercroft.wire.openai.chat.answer import ChatStream, passed_on, whole
from undercroft.wire.openai.chat.provided import ChatPieces, decode_chunk, decode_whole, usual, usual_whole
from undercroft.wire.openai.chat.request import decode
from undercroft.wire.openai.chat.upstream import encode_request

__all__ = [
    "ChatPieces",
    "ChatStream",
    "decode",
    "decode_chunk",
    "decode_whole",
    "encode_request",
    "passed_on",
    "usual",
    "usual_whole",
    "whole",
]
