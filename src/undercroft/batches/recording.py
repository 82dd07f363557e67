"""What a batch's jobs come to, written in the transaction that moves them: a line is recorded exactly when its run
counts, and so once."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection

from undercroft.batches import repository
from undercroft.batches.types import KIND, Item, ItemInput, ItemResult
from undercroft.jobs.types import ENDED, Job

_inputs = msgspec.json.Decoder(ItemInput)
_results = msgspec.json.Decoder(ItemResult)
_encode = msgspec.json.Encoder().encode


def is_item(job: Job) -> bool:
    return job.kind == KIND


def record(connection: Connection, jobs: Iterable[Job]) -> None:
    """Jobs of batches, as they are from now on; those that have not ended say nothing."""
    for job in jobs:
        if job.state in ENDED:
            asked = _inputs.decode(job.input)
            repository.record(connection, item_of(job, asked.line), organisation=job.organisation, batch=asked.batch)


def item_of(job: Job, line: int) -> Item:
    """What the line came to."""
    if job.state == "succeeded":
        assert job.result is not None, "a job that has succeeded has a result"
        result = _results.decode(job.result)
        answer = {"response": result.response, "error": None}
        return Item(
            line=line, job=job.id, custom_id="", outcome=result.outcome, answer=_text(answer), usage=result.usage
        )
    if job.state == "cancelled":
        return Item(line=line, job=job.id, custom_id="", outcome="cancelled")
    failure = job.failure
    assert failure is not None, "a job that is dead says why"
    refusal = {"response": None, "error": {"code": failure.code, "message": failure.message}}
    return Item(line=line, job=job.id, custom_id="", outcome="failed", answer=_text(refusal))


def _text(answer: object) -> str:
    return _encode(answer).decode()
