"""Personal data is found, and what only looks like it is not."""

import pytest

from undercroft.guards.guard import masked
from undercroft.guards.pii import PersonalData, is_card, is_iban

CHECK = PersonalData()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ada.lovelace+x@mail.example.org today", "email"),
        ("a@b.co", "email"),
        ("card 4111 1111 1111 1111, please", "card"),
        ("5500-0000-0000-0004", "card"),
        ("371449635398431", "card"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("GB82WEST12345698765432", "iban"),
        ("call +49 30 901820 now", "phone"),
        ("call (030) 901-8200", "phone"),
        ("0044 20 7946 0958", "phone"),
        ("from 203.0.113.77.", "ip"),
        ("host 2001:db8::1 answered", "ip"),
    ],
)
def test_personal_data_is_found(text: str, kind: str) -> None:
    (find,) = CHECK.find(text)
    assert find.what == kind
    assert f"[{kind}]" in masked(text, [find])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "at 10:30 on 2026-01-02 we met",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "version 1.2.3 and 300.1.2.3",
        "an @ sign, a@b, @home",
        "FR14 2004 1010 0505 0001 3M02 607",
        "order 12345 of 678",
        "std::vector, a::b",
        "3.14159265358979",
    ],
)
def test_what_only_looks_like_it_passes(text: str) -> None:
    assert list(CHECK.find(text)) == []


def test_only_the_kinds_that_were_asked_for_are_looked_for() -> None:
    assert [find.what for find in PersonalData(["ip"]).find("a@b.co at 203.0.113.7")] == ["ip"]


def test_check_digits_are_checked() -> None:
    assert is_card("4111111111111111")
    assert not is_card("4111111111111112")
    assert is_iban("FR1420041010050500013M02606")
    assert not is_iban("FR1420041010050500013M02607")


@pytest.mark.parametrize(
    "text", ["a@" * 20_000, "1 " * 50_000, "1." * 50_000, "A1 " * 30_000, ":" * 100_000, "+1-" * 30_000]
)
def test_no_text_takes_long(text: str) -> None:
    CHECK.find(text)  # quadratic patterns would take minutes, and the test's time limit with them


def test_a_card_is_found_whatever_number_stands_behind_it() -> None:
    text = "4111 1111 1111 1111 203.0.113.7"
    assert [(text[each.start : each.end], each.what) for each in PersonalData().find(text)] == [
        ("4111 1111 1111 1111", "card"),
        ("203.0.113.7", "ip"),
    ]


def test_a_card_is_found_whatever_number_stands_before_it() -> None:
    text = "+49 30 901820 4111 1111 1111 1111, 12 4111-1111-1111-1111 5500 0000 0000 0004"
    assert masked(text, PersonalData().find(text)) == "[phone] [card], 12 [card] [card]"
