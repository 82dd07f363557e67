"""The OpenAPI document of the AI routes, as it was reviewed, and beside what OpenAI's own says."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
import schemathesis

from tests.support import golden
from tests.support.openapi_facts import AREAS, area_of, compare, facts_of
from undercroft.wire.openapi import document

DOCUMENT = document(version="0")
PROMISED: Final = 0.95
KNOWN_GAPS: Final = (
    # Parts come back as their caller wrote them, whatever their type: all that is promised is that they are objects.
    "GET /chat/completions/{}/messages answer.data[].content_parts[].",
    "POST /batches request.endpoint may be /v1/images/",  # there are no such routes here
    "POST /batches request.endpoint may be /v1/videos",
    "GET /files/{}/content answer",  # the bytes are told as bytes, where OpenAI's document says a JSON string
)


def promised(area: str) -> dict[str, list[Any]]:
    """OpenAI's facts of one area."""
    facts = json.loads((golden.FOLDER / "openai_facts.json").read_text("utf-8"))
    return {place: fact for place, fact in facts.items() if area_of(place) == area}


def test_the_document_is_the_reviewed_one() -> None:
    golden.compare("openapi.json", f"{json.dumps(DOCUMENT, indent=1, ensure_ascii=False)}\n")


def test_the_document_is_valid_openapi_3_1() -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.validate()
    assert schema.specification.version.startswith("3.1")


@pytest.mark.parametrize("area", AREAS)
def test_what_openai_promises_is_promised_here(area: str) -> None:
    count, missing = compare(promised(area), facts_of(DOCUMENT))
    assert count > 50
    assert [each for each in missing if not each.startswith(KNOWN_GAPS)] == []
    score = 1 - len(missing) / count
    assert score >= PROMISED, f"{area}: {score:.1%} of {count} facts"


LOSSES: Final[tuple[Callable[[Any, Any], object], ...]] = (
    lambda paths, _: paths.pop("/v1/chat/completions"),
    lambda _, schemas: schemas["ChatCompletion"]["properties"].pop("choices"),
    lambda _, schemas: schemas["ChatCompletion"]["required"].remove("choices"),
    lambda _, schemas: schemas["ChatCompletion"]["properties"]["id"].update(type="number"),
    lambda _, schemas: schemas["ImageUrl"]["properties"].update(detail={"enum": ["auto"]}),
)


def test_a_document_that_lacks_a_route_a_field_a_type_or_a_value_scores_less() -> None:
    """The comparison itself: each loss is seen."""
    chat, (count, whole) = promised("chat"), compare(promised("chat"), facts_of(DOCUMENT))
    for lose in LOSSES:
        told = json.loads(json.dumps(DOCUMENT))
        lose(told["paths"], told["components"]["schemas"])
        again, missing = compare(chat, facts_of(told))
        assert again == count
        assert len(missing) > len(whole)
