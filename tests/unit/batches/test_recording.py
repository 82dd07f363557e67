import msgspec
import pytest

from tests.support.jobs import row
from undercroft.batches.output import error_line, output_line
from undercroft.batches.recording import is_item, item_of
from undercroft.batches.types import KIND, Batch, Ending, Item, ItemResult
from undercroft.jobs.rows import error_of
from undercroft.jobs.types import Failure
from undercroft.record import Usage, Who

RESPONSE = {"status_code": 200, "request_id": "req_1", "body": {"a": 1}}


def batch(ending: Ending = "") -> Batch:
    return Batch(
        who=Who(), id="batch_ab", status="finalizing", active=True, ending=ending, endpoint="/v1/embeddings",
        input_file="file-1", created_us=0, expires_us=1,
    )  # fmt: skip


def test_only_jobs_of_batches_are_items() -> None:
    assert is_item(row(kind=KIND))
    assert not is_item(row(kind="chat"))


def test_an_answer_is_a_line_of_the_output() -> None:
    result = ItemResult(outcome="completed", response=msgspec.Raw(msgspec.json.encode(RESPONSE)), usage=Usage(output=3))
    item = item_of(row(id="job_1", state="succeeded", result=msgspec.json.encode(result).decode()), 10)
    assert (item.line, item.job, item.outcome, item.usage) == (10, "job_1", "completed", Usage(output=3))
    named = Item(line=10, job="job_1", custom_id="ä", outcome="completed", answer=item.answer)
    assert msgspec.json.decode(output_line(batch(), named)) == {
        "id": "batch_req_ab0000000a", "custom_id": "ä", "response": RESPONSE, "error": None,
    }  # fmt: skip


def test_a_dead_job_is_a_line_of_the_errors() -> None:
    why = error_of(Failure(code="upstream_timeout", message="Silence."))
    item = item_of(row(state="dead", error=why), 1)
    assert item.outcome == "failed"
    told = msgspec.json.decode(error_line(batch(), item))
    assert (told["response"], told["error"]) == (None, {"code": "upstream_timeout", "message": "Silence."})


@pytest.mark.parametrize(
    ("ending", "code"), [("expired", "batch_expired"), ("cancelled", "batch_cancelled"), ("", "cancelled")]
)
def test_what_was_not_come_to_says_why(ending: Ending, code: str) -> None:
    item = item_of(row(state="cancelled"), 1)
    assert item.outcome == "cancelled"
    assert msgspec.json.decode(error_line(batch(ending), item))["error"]["code"] == code
