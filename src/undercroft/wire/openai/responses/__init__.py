"""OpenAI's Responses: `decode` and `request_of` read what callers ask, `begun`, `whole` and `ResponseStream` write what
they get, `upstream` faces providers of the format, `portable` and `as_chat` face all others."""

from undercroft.wire.openai.responses.answer import (
    ACTIVE,
    DeletedResponse,
    Ended,
    InputTokens,
    ItemList,
    Response,
    ResponseFailure,
    begun,
    changed,
    ended,
    output_of,
    read_ended,
    stopped,
)
from undercroft.wire.openai.responses.file_search import (
    RESULTS,
    Cited,
    FileSearchBody,
    Retrieved,
    asked_search,
    question_in,
    with_passages,
    without_search,
)
from undercroft.wire.openai.responses.items import listed, spoken
from undercroft.wire.openai.responses.portable import as_chat, portable, unknown_response
from undercroft.wire.openai.responses.request import Asked, ResponsesBody, Turn, decode, request_of
from undercroft.wire.openai.responses.stream import (
    ANNOUNCED,
    ResponseStream,
    announced,
    is_last_event,
    last_event,
    whole,
)

__all__ = [
    "ACTIVE",
    "ANNOUNCED",
    "RESULTS",
    "Asked",
    "Cited",
    "DeletedResponse",
    "Ended",
    "FileSearchBody",
    "InputTokens",
    "ItemList",
    "Response",
    "ResponseFailure",
    "ResponseStream",
    "ResponsesBody",
    "Retrieved",
    "Turn",
    "announced",
    "as_chat",
    "asked_search",
    "begun",
    "changed",
    "decode",
    "ended",
    "is_last_event",
    "last_event",
    "listed",
    "output_of",
    "portable",
    "question_in",
    "read_ended",
    "request_of",
    "spoken",
    "stopped",
    "unknown_response",
    "whole",
    "with_passages",
    "without_search",
]
