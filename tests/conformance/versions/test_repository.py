"""Versions and labels on both databases."""

from functools import partial

import pytest

from tests.support.releases import ORGANISATION, Shop
from undercroft.errors import Conflict, NotFound
from undercroft.storage.counters import RELEASES
from undercroft.storage.engine import Database
from undercroft.storage.versions import current
from undercroft.versions import repository
from undercroft.versions.content import ModelContent
from undercroft.versions.repository import chosen

A, B = ModelContent(target="a"), ModelContent(target="b")


@pytest.fixture
def stock(database: Database) -> Shop:
    return Shop(database)


def find(stock: Shop, reference: str, organisation: str = ORGANISATION) -> ModelContent:
    work = partial(repository.find, kind="model", name="chat", reference=reference, organisation=organisation)
    content = stock.read(work).content
    assert isinstance(content, ModelContent)
    return content


def test_a_version_is_found_by_label_by_address_and_as_the_latest(stock: Shop) -> None:
    first = stock.add("model", "chat", A, "production")
    stock.add("model", "chat", B)

    assert find(stock, "production") == A
    assert find(stock, first.digest) == A
    assert find(stock, first.short) == A
    assert find(stock, "latest") == B


def test_a_label_moves_and_stands_in_one_place(stock: Shop) -> None:
    stock.add("model", "chat", A, "production")
    stock.add("model", "chat", B, "production")

    assert find(stock, "production") == B
    listed = stock.read(partial(repository.listed, organisation=ORGANISATION))
    assert [version.labels for version in listed] == [("production",), ()]


def test_the_same_content_again_is_the_same_version_and_the_latest(stock: Shop) -> None:
    first = stock.add("model", "chat", A)
    stock.add("model", "chat", B)

    again = stock.add("model", "chat", A)

    assert again.digest == first.digest
    assert len(stock.read(partial(repository.listed, organisation=ORGANISATION))) == 2
    assert find(stock, "latest") == A


def test_what_is_not_there_is_told_with_what_is(stock: Shop) -> None:
    stock.add("model", "chat", A, "staging")

    with pytest.raises(NotFound, match="staging"):
        find(stock, "production")
    with pytest.raises(NotFound):
        find(stock, "staging", organisation="another")


def test_an_address_that_could_mean_two_is_refused(stock: Shop) -> None:
    version = stock.add("model", "chat", A)
    twins = [version, version]

    with pytest.raises(Conflict, match="2 versions"):
        chosen(twins, "model", "chat", version.short)


def test_every_change_is_told_to_all_processes(stock: Shop) -> None:
    before = stock.read(current).get(RELEASES, 0)

    stock.add("model", "chat", A, "production")

    assert stock.read(current)[RELEASES] > before
