"""Kept chat completions on both databases."""

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from undercroft.chats.repository import SWEPT, KeptChat, find, keep, listed, relabel, remove
from undercroft.storage.engine import Database

NOW = 1_800_000_000_000_000
LATER = NOW + 1_000_000


def chat(name: str, *, created_us: int = NOW, expires_us: int = LATER, **fields: Any) -> KeptChat:
    plain = KeptChat(
        id=name, model="m", metadata={}, messages=b'[{"role":"user","content":"\xc3\xa4"}]', answer=b'{"a": 1.0}',
        created_us=created_us, expires_us=expires_us,
    )  # fmt: skip
    return replace(plain, **fields)


def put(database: Database, *kept: KeptChat, organisation: str = "default", now_us: int = NOW) -> None:
    for each in kept:
        database.write_sync(partial(keep, kept=each, organisation=organisation, now_us=now_us))


def got(database: Database, name: str, *, organisation: str = "default", now_us: int = NOW) -> KeptChat | None:
    return database.read_sync(lambda c: find(c, name, organisation=organisation, now_us=now_us))


def names(database: Database, *, organisation: str = "default", limit: int = 10, **wanted: Any) -> list[str]:
    found = database.read_sync(lambda c: listed(c, organisation=organisation, now_us=NOW, limit=limit, **wanted))
    return [each.id for each in found]


def test_what_is_kept_comes_back_to_the_letter(database: Database) -> None:
    kept = chat("a", metadata={"k": "v", "empty": ""})
    put(database, kept)
    assert got(database, "a") == kept
    assert got(database, "b") is None


def test_another_organisation_sees_nothing_of_it(database: Database) -> None:
    put(database, chat("a"))
    put(database, chat("a", model="theirs"), organisation="other")
    assert got(database, "a") == chat("a")
    assert names(database, organisation="other") == ["a"]
    assert names(database, organisation="third") == []
    assert not database.write_sync(lambda c: remove(c, "a", organisation="third", now_us=NOW))
    assert not database.write_sync(lambda c: relabel(c, "a", {"x": "y"}, organisation="third", now_us=NOW))
    assert got(database, "a") == chat("a")


def test_an_id_that_a_provider_gives_twice_is_the_later_answer(database: Database) -> None:
    put(database, chat("a"), chat("a", answer=b'{"b": 2}'))
    assert got(database, "a") == chat("a", answer=b'{"b": 2}')


def test_what_has_expired_is_gone_for_readers_and_then_for_good(database: Database) -> None:
    put(database, *(chat(f"old-{number:03}", expires_us=NOW + 1) for number in range(SWEPT + 1)), chat("young"))
    assert got(database, "old-000", now_us=NOW + 1) is None
    put(database, chat("new"), now_us=NOW + 1)
    assert len(names(database, limit=1000)) == 3, "one sweep has its limit"
    put(database, chat("newer"), now_us=NOW + 1)
    assert sorted(names(database)) == ["new", "newer", "young"]


def test_pages_follow_time_and_then_id_without_gaps(database: Database) -> None:
    put(database, chat("c"), chat("b", created_us=NOW - 5), chat("a"), chat("d", created_us=NOW + 5))
    assert names(database) == ["b", "a", "c", "d"]
    assert names(database, order="desc") == ["d", "c", "a", "b"]
    for order in ("asc", "desc"):
        seen: list[str] = []
        while page := names(database, order=order, limit=1, after=got(database, seen[-1]) if seen else None):
            seen += page
        assert seen == names(database, order=order)


@pytest.mark.parametrize("label", ["plain", 'a"quote', "dot.ted", "$", "ä 漢", "a[0]", "it's"])
def test_only_those_with_all_the_labels_are_listed(database: Database, label: str) -> None:
    put(database, chat("a", metadata={label: "yes", "other": "1"}), chat("b", metadata={label: "no"}), chat("c"))
    assert names(database, metadata={label: "yes"}) == ["a"]
    assert names(database, metadata={label: "yes", "other": "1"}) == ["a"]
    assert names(database, metadata={label: "yes", "other": "2"}) == []


def test_only_those_of_a_model_are_listed(database: Database) -> None:
    put(database, chat("a"), chat("b", model="other"))
    assert names(database, model="other") == ["b"]


def test_other_labels_and_deletion(database: Database) -> None:
    put(database, chat("a", metadata={"old": "1"}))
    assert database.write_sync(lambda c: relabel(c, "a", {"new": "2"}, organisation="default", now_us=NOW))
    assert got(database, "a") == chat("a", metadata={"new": "2"})
    assert database.write_sync(lambda c: remove(c, "a", organisation="default", now_us=NOW))
    assert not database.write_sync(lambda c: remove(c, "a", organisation="default", now_us=NOW))
    assert not database.write_sync(lambda c: relabel(c, "a", {}, organisation="default", now_us=NOW))
