import pytest

from undercroft.errors import InvalidRequest
from undercroft.versions.content import ModelContent, Parameters, check_label, check_name, digest_of
from undercroft.versions.reading import read_content

PROMPT = {"messages": [{"role": "system", "content": "Be {{tone}}."}], "variables": {"tone": {}}}


def test_the_same_content_has_the_same_address_however_it_is_written() -> None:
    other_order = {
        "variables": {"tone": {"type": "string"}},
        "messages": [{"content": "Be {{tone}}.", "role": "system"}],
    }

    assert digest_of("prompt", read_content("prompt", PROMPT)) == digest_of(
        "prompt", read_content("prompt", other_order)
    )


def test_another_content_has_another_address() -> None:
    warm = ModelContent(target="chat", parameters=Parameters(temperature=1.0))

    assert digest_of("model", ModelContent(target="chat")) != digest_of("model", warm)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": ""}]}, "robot"),
        ({"messages": [{"role": "user", "content": "x"}], "heat": 1}, "heat"),
        ({"messages": [{"role": "user", "content": "{{who}}"}]}, "who"),
        ({"messages": [{"role": "user", "content": "x"}], "variables": {"who": {}}}, "who"),
        (
            {
                "messages": [{"role": "user", "content": "{{n}}"}],
                "variables": {"n": {"type": "integer", "default": "a"}},
            },
            "n",
        ),
        ("just text", "prompt"),
    ],
)
def test_what_is_no_prompt_is_refused_with_what_is_wrong(content: object, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read_content("prompt", content)


def test_a_temperature_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="temperature"):
        read_content("model", {"target": "chat", "parameters": {"temperature": 9}})


@pytest.mark.parametrize("label", ["", "latest", "abcdef12", "rel_1", "Production", "a b", "x" * 41])
def test_what_could_be_taken_for_something_else_is_no_label(label: str) -> None:
    with pytest.raises(InvalidRequest):
        check_label(label)


@pytest.mark.parametrize("name", ["", "a@b", "-a", "x" * 101, "a\n"])
def test_what_could_not_be_asked_for_is_no_name(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_name(name)
