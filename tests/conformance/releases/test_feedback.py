"""Feedback finds the answer that it is about, whoever has given it its id."""

from functools import partial
from typing import Any

import pytest

from tests.support.releases import ORGANISATION, Shop
from tests.support.responses import DAY_US, NOW_US, kept, response
from undercroft.releases.feedback import Feedback, Remembered, add, call_of, remembered
from undercroft.responses import repository
from undercroft.responses.types import Kept
from undercroft.storage.engine import Database

CALL = "req_0123456789abcdef0123456789abcdef"
THEIRS = "resp_that_a_provider_has_named"


@pytest.fixture
def stock(database: Database) -> Shop:
    return Shop(database)


def answered(id: str, text: str, **fields: Any) -> Kept:
    """A kept response that says this."""
    said = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [said]}
    instructions = fields.pop("instructions", None)
    return kept(id, body=response(id, output=[message], instructions=instructions), **fields)


def keep(stock: Shop, *answers: Kept) -> None:
    for each in answers:
        stock.database.write_sync(partial(repository.keep, kept=each))


def say(stock: Shop, *, response: str, call: str, score: float = 0.0) -> None:
    given = Feedback(organisation=ORGANISATION, id=stock.ids.new("fb_"), response=response, call=call, score=score)
    stock.database.write_sync(partial(add, given=given))


def found(stock: Shop, *, now_us: int = NOW_US, organisation: str = ORGANISATION) -> list[Remembered]:
    return stock.read(partial(remembered, organisation=organisation, now_us=now_us))


def test_a_response_with_its_providers_id_is_found_by_that_and_by_its_call(stock: Shop) -> None:
    keep(stock, answered(THEIRS, "Paris.", call=CALL, is_relayed=True, instructions="Be brief."))

    find = partial(call_of, response=THEIRS, now_us=NOW_US)
    assert stock.read(partial(find, organisation=ORGANISATION)) == CALL
    assert stock.read(partial(find, organisation="acme")) == ""
    assert stock.read(partial(call_of, response=THEIRS, now_us=NOW_US + 31 * DAY_US, organisation=ORGANISATION)) == ""

    say(stock, response=CALL, call=CALL)
    (each,) = found(stock)
    assert each.turns == [("system", "Be brief."), ("user", "hi")]
    assert each.said == "Paris."


def test_a_conversation_of_which_something_is_missing_or_no_text_has_no_turns(stock: Shop) -> None:
    picture = b'[{"role":"user","content":[{"type":"input_image","image_url":"https://example.com/a.png"}]}]'
    keep(
        stock,
        answered("resp_alone", "And?", previous="resp_that_was_deleted"),
        answered("resp_picture", "A cat.", input=picture),
    )
    for named in ("resp_alone", "resp_picture"):
        say(stock, response=named, call=CALL)

    assert sorted((each.said, each.turns) for each in found(stock)) == [("A cat.", []), ("And?", [])]


def test_what_was_kept_by_the_version_before_is_found_by_its_own_id(stock: Shop) -> None:
    keep(stock, answered("resp_1", "hello"))
    say(stock, response="resp_1", call="req_1")

    assert [each.turns for each in found(stock)] == [[("user", "hi")]]
    assert found(stock, organisation="acme") == []
    assert found(stock, now_us=NOW_US + 31 * DAY_US) == []
