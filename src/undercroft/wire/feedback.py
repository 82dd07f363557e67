"""`/api/v1/feedback`: what people, or checks, say of an answer."""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from undercroft.errors import NotFound
from undercroft.wire.body import invalid, read

_OURS: Final = re.compile(r"(?:chatcmpl-|cmpl-|resp_|msg_|req_)([0-9a-f]{32})")

Score = Annotated[float, Meta(ge=0, le=1)]
Label = Annotated[str, Meta(max_length=100)]
Comment = Annotated[str, Meta(max_length=10_000)]


class FeedbackRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of one answer: at least one of score, label and comment."""

    response_id: Annotated[str, Meta(min_length=1, max_length=200)]
    """The answer's id, or what its header `x-request-id` says."""
    score: Score | None = None
    """From 0 (bad) to 1 (good); below 0.5 counts against a release."""
    label: Label = ""
    comment: Comment = ""
    source: Literal["user", "evaluation", "reviewer"] = "user"
    """Who says so: `evaluation` is what checks of live answers report."""


class FeedbackView(msgspec.Struct, kw_only=True):
    """What was said."""

    id: str
    object: Literal["feedback"] = "feedback"
    response_id: str
    request_id: str
    """The call that made the answer, as the ledger knows it."""
    score: float | None
    label: str
    comment: str
    source: str
    created_at: str


class FeedbackList(msgspec.Struct, kw_only=True):
    """The latest first."""

    data: list[FeedbackView]


class FeedbackQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which are to be listed."""

    source: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


_decoder = msgspec.json.Decoder(FeedbackRequest)


def decode(body: bytes) -> FeedbackRequest:
    """Raises InvalidRequest."""
    asked = read(_decoder, body)
    if asked.score is None and not asked.label and not asked.comment:
        raise invalid("Feedback has a score, a label or a comment.", param="score")
    return asked


def call_of(response_id: str) -> str | None:
    """The call behind an answer's id; None for an id that some provider has given."""
    found = _OURS.fullmatch(response_id)
    return None if found is None else f"req_{found[1]}"


def unknown(response_id: str) -> NotFound:
    """Nobody knows of which call an id tells."""
    return NotFound(
        f"'{response_id[:100]}' is no id that this server has given.",
        code="response_not_found",
        param="response_id",
        hint="An answer that was passed on as its provider wrote it has the provider's id, which is known where it was "
        "stored: give the answer's x-request-id instead.",
    )


encode = msgspec.json.Encoder().encode
