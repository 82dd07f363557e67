import json

from openai.types import Model as TheirModel

from undercroft.wire.openai.models import Model, encode_list, encode_one


def test_a_model_is_told_without_what_is_not_known() -> None:
    told = json.loads(encode_one(Model(id="chat", created=7, owned_by="openai")))
    assert told == {"id": "chat", "object": "model", "created": 7, "owned_by": "openai"}
    TheirModel.model_validate(told)


def test_a_demo_model_says_that_it_is_one() -> None:
    model = Model(id="local", created=7, owned_by="local", description="Bundled.", context_length=8192, quality="demo")
    told = json.loads(encode_one(model))
    assert (told["description"], told["context_length"], told["quality"]) == ("Bundled.", 8192, "demo")


def test_the_list_keeps_its_order() -> None:
    told = json.loads(encode_list(Model(id=name, created=7, owned_by="x") for name in ("b", "a")))
    assert told["object"] == "list"
    assert [model["id"] for model in told["data"]] == ["b", "a"]
