from undercroft.versions.content import (
    Content,
    ModelContent,
    Parameters,
    PromptContent,
    PromptMessage,
    Version,
    digest_of,
)
from undercroft.versions.diff import diff


def version(content: Content) -> Version:
    return Version(
        organisation="default", kind="model", name="chat", digest=digest_of("model", content), content=content
    )


def test_what_has_changed_stands_line_by_line() -> None:
    before, after = ModelContent(target="a"), ModelContent(target="b", parameters=Parameters(temperature=0.5))

    lines = diff(version(before), version(after)).splitlines()

    assert '-target = "a"' in lines
    assert '+target = "b"' in lines
    assert "+parameters.temperature = 0.5" in lines


def test_a_long_text_is_compared_by_its_lines() -> None:
    def prompt(text: str) -> Version:
        return version(PromptContent(messages=(PromptMessage(role="user", content=text),)))

    lines = diff(prompt("one\ntwo\nthree"), prompt("one\n2\nthree")).splitlines()

    assert "-  two" in lines
    assert "+  2" in lines
    assert "   one" in lines


def test_the_same_has_no_difference() -> None:
    assert diff(version(ModelContent(target="a")), version(ModelContent(target="a"))) == ""
