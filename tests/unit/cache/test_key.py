"""What makes an answer somebody else's, and what does not."""

import msgspec
import pytest

from undercroft.cache.key import Keys, Place
from undercroft.llm.types import ChatRequest, Message, Sampling, Source

KEYS = Keys(b"a secret")
HERE = Place(organisation="default", endpoint="/v1/chat/completions", answers="chat\nopenai:gpt", wish=())
BODY = b'{"model": "chat", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "user": "u1"}'


def asked(body: bytes = BODY) -> ChatRequest:
    messages = (Message(role="user", content="Hi"),)
    return ChatRequest(model="chat", messages=messages, source=Source(dialect="openai.chat", body=body))


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        BODY.replace(b" ", b""),
        b'{"temperature":0,"messages":[{"content":"Hi","role":"user"}],"model":"other name of it"}',
        BODY.replace(b'"u1"', b'"u2"'),
        BODY.replace(b'"user": "u1"', b'"metadata": {"a": "b"}, "store": true'),
    ],
    ids=["itself", "no spaces", "another order", "another user", "labels"],
)
def test_spelling_and_labels_make_no_difference(body: bytes) -> None:
    assert KEYS.id_of(asked(body), HERE) == KEYS.id_of(asked(), HERE)


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace(b'"Hi"', b'"Hi "'),
        BODY.replace(b"0,", b"0.1,"),
        BODY.replace(b'"user": "u1"', b'"stream": true'),
        BODY.replace(b'"user": "u1"', b'"an_option_of_tomorrow": 1'),
    ],
    ids=["text", "temperature", "stream", "unknown field"],
)
def test_all_else_in_the_body_does(body: bytes) -> None:
    assert KEYS.id_of(asked(body), HERE) != KEYS.id_of(asked(), HERE)


@pytest.mark.parametrize(
    "change",
    [{"organisation": "other"}, {"endpoint": "/v1/messages"}, {"answers": "chat\nopenai:gpt-2"}, {"wish": ("eu",)}],
)
def test_so_does_the_place(change: dict[str, str | tuple[str, ...]]) -> None:
    assert KEYS.id_of(asked(), msgspec.structs.replace(HERE, **change)) != KEYS.id_of(asked(), HERE)


def test_a_request_without_a_body_counts_by_what_it_says() -> None:
    plain = msgspec.structs.replace(asked(), source=None)
    warmer = msgspec.structs.replace(plain, sampling=Sampling(temperature=0.5))
    assert KEYS.id_of(plain, HERE) == KEYS.id_of(msgspec.structs.replace(plain, end_user="u2"), HERE)
    assert KEYS.id_of(plain, HERE) != KEYS.id_of(warmer, HERE)


def test_what_stands_around_a_question_counts_with_fields_that_nobody_knows() -> None:
    emptied = ChatRequest(model="chat", messages=(Message(role="user", content=""),))
    around = [
        KEYS.around_of(emptied, asked(body).source, HERE)
        for body in (BODY, BODY.replace(b"Hi", b"Ho"), BODY.replace(b'"user"', b'"new_option"'))
    ]
    assert around[0] == around[1] != around[2]


def test_who_does_not_know_the_secret_cannot_try_out_what_was_asked() -> None:
    assert Keys(b"another").id_of(asked(), HERE) != KEYS.id_of(asked(), HERE)
