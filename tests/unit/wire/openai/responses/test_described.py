"""What is read is described, what is written is described."""

import msgspec

from undercroft.wire.openai.responses.answer import Response
from undercroft.wire.openai.responses.described import ResponseObject, ResponseRequest
from undercroft.wire.openai.responses.request import ResponsesBody


def names(described: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(described)}


def test_every_field_that_is_read_is_described() -> None:
    assert names(ResponsesBody) - {"conversation"} <= names(ResponseRequest)


def test_every_field_that_is_written_is_described() -> None:
    assert names(Response) <= names(ResponseObject)
