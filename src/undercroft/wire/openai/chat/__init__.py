"""OpenAI's chat completions: `decode`, `whole` and `ChatStream` face callers, the others face providers."""

from undercroft.wire.openai.chat.answer import ChatStream, whole
from undercroft.wire.openai.chat.request import decode
from undercroft.wire.openai.chat.upstream import decode_chunk, decode_whole, encode_request, left_out

__all__ = ["ChatStream", "decode", "decode_chunk", "decode_whole", "encode_request", "left_out", "whole"]
