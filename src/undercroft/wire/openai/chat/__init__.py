"""OpenAI's chat completions: `decode`, `whole` and `ChatStream` face callers, the other three face providers."""

from undercroft.wire.openai.chat.answer import ChatStream, whole
from undercroft.wire.openai.chat.request import decode
from undercroft.wire.openai.chat.upstream import decode_chunk, decode_whole, encode_request

__all__ = ["ChatStream", "decode", "decode_chunk", "decode_whole", "encode_request", "whole"]
