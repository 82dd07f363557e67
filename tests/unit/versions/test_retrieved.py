import pytest
from msgspec.structs import replace

from undercroft.llm.types import ChatRequest, Message, Part, Source
from undercroft.versions.content import TEMPLATE, RetrievalContent
from undercroft.versions.retrieved import question_in, with_passages

MANUAL = RetrievalContent(collection="manual", template="<{{passages}}>")
SYSTEM, EARLIER, SAID = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hello"),
    Message(role="assistant", content="Hello!"),
)
ASKED = ChatRequest(
    model="chat",
    messages=(SYSTEM, EARLIER, SAID, Message(role="user", content=" Why? ")),
    source=Source("openai.chat", b"{}"),
)


def test_the_question_is_what_the_user_said_last() -> None:
    assert question_in(ASKED) == "Why?"
    assert question_in(replace(ASKED, messages=(SYSTEM,))) == ""


def test_passages_stand_before_the_question_and_the_request_is_written_anew() -> None:
    led = with_passages(MANUAL, ASKED, ["one", "two"], most_tokens=1000)

    assert led.messages[:-1] == ASKED.messages[:-1]
    assert led.messages[-1].text() == "<[1] one\n\n[2] two>\n\n Why? "
    assert led.source is None


def test_as_a_message_of_the_systems_they_stand_at_the_end_of_its_head() -> None:
    led = with_passages(replace(MANUAL, role="system"), ASKED, ["one"], most_tokens=1000)

    assert led.messages == (SYSTEM, Message(role="system", content="<[1] one>"), *ASKED.messages[1:])


def test_a_question_with_pictures_keeps_them() -> None:
    picture = Part(type="image_url", data={"image_url": {"url": "data:,"}})
    asked = replace(ASKED, messages=(Message(role="user", content=(Part(type="text", text="Why?"), picture)),))

    led = with_passages(MANUAL, asked, ["one"], most_tokens=1000)

    assert led.messages[0].content == (Part(type="text", text="<[1] one>\n\n"), *asked.messages[0].content)  # type: ignore[misc]


@pytest.mark.parametrize(("most_tokens", "kept"), [(1000, 3), (60, 2), (1, 1)])
def test_as_many_are_told_as_fit_and_the_best_in_any_case(most_tokens: int, kept: int) -> None:
    led = with_passages(MANUAL, ASKED, ["x" * 80] * 3, most_tokens=most_tokens)

    assert led.messages[-1].text().count("x" * 80) == kept


def test_what_a_passage_says_is_never_filled_in() -> None:
    led = with_passages(MANUAL, ASKED, ["{{passages}}"], most_tokens=1000)

    assert led.messages[-1].text() == "<[1] {{passages}}>\n\n Why? "


def test_the_usual_template_has_a_place_for_them() -> None:
    assert "{{passages}}" in TEMPLATE
