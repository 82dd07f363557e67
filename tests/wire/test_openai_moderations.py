"""The official openai SDK against a running server: moderations by rules and by a provider."""

from typing import Any

import openai
import pytest
from openai.types import ModerationMultiModalInputParam

from tests.support.server import Server, until
from tests.support.upstream import Upstream

MODELS = ("local-moderation", "fake")
THREAT = "I will kill you."
IMAGE: ModerationMultiModalInputParam = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


@pytest.mark.parametrize("model", MODELS)
def test_a_text_gets_one_verdict_with_every_category(client: openai.OpenAI, model: str) -> None:
    answer = client.moderations.create(model=model, input=THREAT)
    (result,) = answer.results
    assert answer.id.startswith("modr-")
    assert result.flagged
    assert result.categories.violence
    assert result.category_scores.violence > 0.5
    assert result.category_applied_input_types.violence == ["text"]
    for told in (result.categories, result.category_scores, result.category_applied_input_types):
        assert set(told.model_fields_set) >= {"hate_threatening", "illicit", "self_harm_intent", "sexual_minors"}


@pytest.mark.parametrize("model", MODELS)
def test_several_texts_get_a_verdict_each_in_order(client: openai.OpenAI, model: str) -> None:
    answer = client.moderations.create(model=model, input=["Good morning.", THREAT, ""])
    assert [result.flagged for result in answer.results] == [False, True, False]


def test_without_a_model_the_rules_answer_and_say_so(client: openai.OpenAI) -> None:
    answer = client.moderations.create(input="je veux mourir")
    assert answer.model == "undercroft-rules"
    assert answer.results[0].categories.self_harm_intent
    assert client.models.retrieve("local-moderation").model_extra == {
        "quality": "rules",
        "description": "Words and phrases, not a model: it sees no context, and no images.",
    }


def test_parts_are_judged_together(client: openai.OpenAI) -> None:
    text: ModerationMultiModalInputParam = {"type": "text", "text": THREAT}
    by_rules = client.moderations.create(model="local-moderation", input=[text])
    assert [result.flagged for result in by_rules.results] == [True]
    by_provider = client.moderations.create(model="fake", input=[text, IMAGE])
    assert [result.flagged for result in by_provider.results] == [True]
    assert by_provider.results[0].category_applied_input_types.violence == ["text", "image"]


def test_rules_do_not_pretend_to_see_images(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.moderations.create(model="local-moderation", input=[IMAGE])
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "input[].image_url")


def test_what_we_do_not_know_passes_both_ways(server: Server, upstream: Upstream) -> None:
    body = {"model": "fake", "input": "an unusual text", "x_policy": {"strict": True}}
    answer = server.ask("/v1/moderations", json=body).json
    (request,) = [each for each in upstream.requests if b"an unusual text" in each.body]
    assert request.path == "/v1/moderations"
    assert request.json["x_policy"] == {"strict": True}
    assert (answer["x_region"], answer["results"][0]["x_trace"]) == ("somewhere", "kept")


@pytest.mark.parametrize(
    ("given", "kind", "code", "param"),
    [
        ({"input": []}, openai.BadRequestError, "empty_array", "input"),
        ({"input": ["a", IMAGE]}, openai.BadRequestError, "invalid_type", "input"),
        ({"model": "nobody"}, openai.NotFoundError, "model_not_found", "model"),
        ({"model": "chat"}, openai.BadRequestError, "unsupported_operation", "model"),
        ({"model": "bad-key"}, openai.InternalServerError, "upstream_refused", None),
        ({"model": "web-page"}, openai.InternalServerError, "upstream_invalid", None),
    ],
)
def test_errors_are_the_sdks_own(
    client: openai.OpenAI, given: dict[str, Any], kind: Any, code: str, param: Any
) -> None:
    with pytest.raises(kind) as caught:
        client.moderations.create(**{"model": "fake", "input": "x", **given})
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_moderation_is_booked_and_by_rules_costs_nothing(client: openai.OpenAI, server: Server) -> None:
    raw = client.moderations.with_raw_response.create(model="local-moderation", input="Good morning.")
    asked = raw.headers["x-request-id"]
    until(lambda: any(row.id == asked for row in server.rows()))
    (row,) = [row for row in server.rows() if row.id == asked]
    assert (row.endpoint, row.provider, row.status) == ("/v1/moderations", "rules", 200)
    assert (row.input_tokens, row.output_tokens, row.cost_nano, row.usage_estimated) == (0, 0, 0, False)
