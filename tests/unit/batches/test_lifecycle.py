from typing import Any

import pytest

from undercroft.batches.lifecycle import Step, cancelled, final_status, next_step
from undercroft.batches.types import Batch, Ending, Status
from undercroft.errors import Conflict
from undercroft.record import Who

NOW = 1_000


def batch(status: Status, **fields: Any) -> Batch:
    plain: dict[str, Any] = {
        "who": Who(), "id": "batch_1", "active": True, "ending": "", "endpoint": "/v1/embeddings",
        "input_file": "file-1", "created_us": 0, "expires_us": NOW + 1,
    }  # fmt: skip
    return Batch(status=status, **plain | fields)


@pytest.mark.parametrize(
    ("found", "is_pending", "step"),
    [
        (batch("validating"), False, "validate"),
        (batch("validating", expires_us=NOW), False, "expire"),
        (batch("validating", ending="expired", expires_us=NOW), False, "finish"),
        (batch("in_progress", total=5, fed=2), True, "feed"),
        (batch("in_progress", total=5, fed=5), True, "wait"),
        (batch("in_progress", total=5, fed=5), False, "finish"),
        (batch("in_progress", total=5, fed=5, expires_us=NOW), True, "expire"),
        (batch("in_progress", total=5, fed=2, expires_us=NOW, ending="expired"), True, "feed"),
        (batch("in_progress", total=5, fed=5, expires_us=NOW, ending="expired"), True, "stop"),
        (batch("in_progress", total=5, fed=5, expires_us=NOW, ending="expired"), False, "finish"),
        (batch("cancelling", ending="cancelled"), False, "finish"),
        (batch("cancelling", total=5, fed=5, ending="cancelled"), True, "stop"),
        (batch("cancelling", total=5, fed=5, ending="cancelled", expires_us=NOW), False, "finish"),
        (batch("finalizing", total=5, fed=5, expires_us=NOW), False, "finish"),
        *((batch(over), False, "clear") for over in ("completed", "failed", "expired", "cancelled")),
        *((batch(over, active=False), False, "nothing") for over in ("completed", "failed", "expired", "cancelled")),
    ],
)
def test_what_is_next_is_said_by_the_row(found: Batch, is_pending: bool, step: Step) -> None:
    assert next_step(found, is_pending=is_pending, now_us=NOW) == step


@pytest.mark.parametrize(("ending", "status"), [("", "completed"), ("expired", "expired"), ("cancelled", "cancelled")])
def test_how_a_batch_ends_is_said_by_why(ending: Ending, status: Status) -> None:
    assert final_status(batch("finalizing", ending=ending)) == status


def test_only_what_is_under_way_is_cancelled() -> None:
    assert cancelled(batch("validating"))
    assert cancelled(batch("in_progress"))
    assert not cancelled(batch("cancelling", ending="cancelled"))
    for late in (batch("finalizing"), batch("completed"), batch("failed"), batch("in_progress", ending="expired")):
        with pytest.raises(Conflict):
            cancelled(late)
