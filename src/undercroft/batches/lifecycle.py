"""What is to be done next about a batch: a plain function of what its row says.

validating ──all lines are right──> in_progress ──no line is pending──> finalizing ──files are there──> completed
validating ──a line is wrong──> failed       in_progress ──its time is over──> … ──> expired
validating | in_progress ──cancelled──> cancelling ──no line is pending──> cancelled
"""

from typing import Literal

from undercroft.batches.types import OVER, Batch, Status
from undercroft.errors import Conflict

Step = Literal["validate", "feed", "expire", "stop", "wait", "finish", "clear", "nothing"]
"""`feed`: make jobs of lines. `stop`: cancel what is pending. `clear`: forget the lines."""


def next_step(batch: Batch, *, is_pending: bool, now_us: int) -> Step:
    """`is_pending`: some line that was taken up has come to nothing yet."""
    if batch.status in OVER:
        return "clear" if batch.active else "nothing"
    if batch.status == "finalizing":
        return "finish"
    if not batch.ending and now_us >= batch.expires_us:
        return "expire"
    if batch.status == "validating":
        return "finish" if batch.ending else "validate"
    if batch.fed < batch.total:
        return "feed"
    if is_pending:
        return "stop" if batch.ending else "wait"
    return "finish"


def final_status(batch: Batch) -> Status:
    """What a batch is when its files are there."""
    return batch.ending or "completed"


def cancelled(batch: Batch) -> bool:
    """Whether cancelling changes anything. Raises Conflict where it is too late."""
    if batch.status == "cancelling":
        return False
    if batch.status not in ("validating", "in_progress") or batch.ending:
        raise Conflict(
            f"Batch '{batch.id}' is {batch.status}: only one that is validating or in progress can be cancelled.",
            code="batch_not_cancellable",
        )
    return True
