"""Anthropic's Messages: `decode`, `whole` and `MessageStream` face callers, the others face providers."""

from undercroft.wire.anthropic.answer import MessageStream, message_id, whole
from undercroft.wire.anthropic.reading import Reading, decode_whole
from undercroft.wire.anthropic.request import decode, decode_count
from undercroft.wire.anthropic.upstream import encode_count, encode_request

__all__ = [
    "MessageStream",
    "Reading",
    "decode",
    "decode_count",
    "decode_whole",
    "encode_count",
    "encode_request",
    "message_id",
    "whole",
]
