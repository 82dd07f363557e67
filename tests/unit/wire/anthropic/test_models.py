"""Pages of models."""

from typing import Any

import msgspec
import pytest

from undercroft.errors import InvalidRequest
from undercroft.wire.anthropic.models import decode_page, encode_one, encode_page, model

MODELS = [model(name, created=0) for name in "abcde"]


def page(query: str) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(encode_page(MODELS, decode_page(query.encode())))
    return told


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        ("", "abcde", False),
        ("limit=2", "ab", True),
        ("limit=5", "abcde", False),
        ("limit=2&after_id=b", "cd", True),
        ("limit=2&after_id=c", "de", False),
        ("after_id=e", "", False),
        ("limit=2&before_id=d", "bc", True),
        ("limit=2&before_id=c", "ab", False),
        ("before_id=a", "", False),
    ],
)
def test_a_page_begins_after_one_model_or_ends_before_another(query: str, ids: str, has_more: bool) -> None:
    told = page(query)
    assert "".join(each["id"] for each in told["data"]) == ids
    assert told["has_more"] is has_more
    assert (told["first_id"], told["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


def test_paging_forward_sees_every_model_once() -> None:
    seen: list[str] = []
    after = ""
    while True:
        told = page(f"limit=2{after}")
        seen += [each["id"] for each in told["data"]]
        if not told["has_more"]:
            break
        after = f"&after_id={told['last_id']}"
    assert "".join(seen) == "abcde"


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after_id=z", "after_id=a&before_id=b"])
def test_a_page_that_cannot_be_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest):
        page(query)


def test_a_model_has_what_is_known_of_it() -> None:
    shown = msgspec.json.decode(encode_one(model("m", created=1_764_000_000, context_length=2048)))
    assert shown == {
        "type": "model", "id": "m", "display_name": "m", "created_at": "2025-11-24T16:00:00Z", "lifecycle": "active",
        "max_input_tokens": 2048,
    }  # fmt: skip
    assert "max_input_tokens" not in msgspec.json.decode(encode_one(MODELS[0]))
