"""The lines of a batch's files, as OpenAI has them."""

from typing import Final

import msgspec

from undercroft.batches.types import Batch, Item

_encode = msgspec.json.Encoder().encode
_answers = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNFINISHED: Final = {
    "expired": {"code": "batch_expired", "message": "This request could not be answered before the batch expired."},
    "cancelled": {"code": "batch_cancelled", "message": "The batch was cancelled before this request was answered."},
    "": {"code": "cancelled", "message": "The job of this request was cancelled."},
}


def output_line(batch: Batch, item: Item) -> bytes:
    """One that was answered."""
    return _line(batch, item, _answers.decode(item.answer))


def error_line(batch: Batch, item: Item) -> bytes:
    """One that was refused, given up, or not come to."""
    if item.answer:
        return _line(batch, item, _answers.decode(item.answer))
    return _line(batch, item, {"response": None, "error": _UNFINISHED[batch.ending]})


def refusal_of(code: str, message: str) -> str:
    """The answer of a line that got none, for `Item.answer`."""
    return _encode({"response": None, "error": {"code": code, "message": message}}).decode()


def _line(batch: Batch, item: Item, answer: object) -> bytes:
    assert isinstance(answer, dict)
    named = f"batch_req_{batch.id.removeprefix('batch_')}{item.line:08x}"
    return _encode({"id": named, "custom_id": item.custom_id, **answer}) + b"\n"
