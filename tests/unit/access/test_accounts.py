"""Passwords, tokens and how long somebody has to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.access import accounts
from undercroft.access.passwords import NOBODYS, SHORTEST, hash_password, is_password
from undercroft.api.sessions import COOKIE, SECURE_COOKIE, cookie_in, set_cookie
from undercroft.errors import InvalidRequest, RateLimited


def test_a_password_is_kept_as_argon2id_with_a_salt_of_its_own() -> None:
    stored = hash_password("correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert stored != hash_password("correct horse battery")
    assert is_password("correct horse battery", stored)
    assert not is_password("correct horse batterz", stored)
    assert not is_password("x" * 1_000_000, stored), "nobody has us hash a megabyte"


def test_a_short_password_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        hash_password("x" * (SHORTEST - 1))


def test_nobody_has_nobodys_password() -> None:
    assert not accounts.is_right("some noise here", NOBODYS)


@given(st.integers(0, 10_000), st.integers(1, 50))
def test_waits_only_grow_and_end(failures: int, free: int) -> None:
    wait_us = accounts.wait_after(failures, free=free)
    assert (wait_us == 0) is (failures < free)
    assert wait_us <= accounts.wait_after(failures + 1, free=free) <= accounts.LONGEST_WAIT_US


def test_who_has_to_wait_is_told_how_long() -> None:
    accounts.demand_patience(0)
    with pytest.raises(RateLimited) as told:
        accounts.demand_patience(1_500_000)
    assert told.value.retry_after_s == 2


def test_the_token_against_forged_changes_belongs_to_one_cookie() -> None:
    token, other = (accounts.new_token(lambda size, byte=byte: byte * size) for byte in (b"a", b"b"))  # type: ignore[misc]
    assert accounts.is_csrf(accounts.csrf_of(token), token)
    assert not accounts.is_csrf(accounts.csrf_of(token), other)
    assert not accounts.is_csrf("", token)
    assert not accounts.is_csrf("\udc80", token)


@pytest.mark.parametrize("is_secure", [True, False])
def test_a_cookie_comes_back_as_it_was_set(is_secure: bool) -> None:
    set_to = set_cookie("tok-en_1", is_secure=is_secure, max_age_s=60)
    assert cookie_in(f"a=b; {set_to.partition(';')[0]}; c=d", is_secure=is_secure) == "tok-en_1"
    assert cookie_in(set_to.partition(";")[0], is_secure=not is_secure) == ""
    assert (SECURE_COOKIE if is_secure else COOKIE) in set_to


@given(st.text(max_size=80))
def test_no_cookie_header_is_an_error(header: str) -> None:
    cookie_in(header, is_secure=False)
