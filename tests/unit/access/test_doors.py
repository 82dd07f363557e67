"""The doors of the contract, row by row."""

import hashlib

import pytest

from undercroft.access.callers import LOCAL, OPERATOR, SCRAPER
from undercroft.access.doors import Door, Visit, admit, host_name
from undercroft.access.keys import KeyRing, NewKey, StoredKey, hash_secret, make_key
from undercroft.errors import Misdirected, NotAllowed, NotAuthenticated, Unavailable
from undercroft.record import Who

LOOPBACK = Door(bind="loopback")
CLOSED = Door(bind="public", master_key="master", metrics_token="scrape-me")


def entropy(size: int) -> bytes:
    return hashlib.shake_128(b"seed").digest(size)


def ring(*keys: StoredKey) -> KeyRing:
    keys_of_the_installation = KeyRing()
    keys_of_the_installation.replace(keys)
    return keys_of_the_installation


def stored(key: NewKey, *, permissions: frozenset[str] = frozenset({"ai"}), expires_us: int | None = None) -> StoredKey:
    return StoredKey(
        id=key.id, hash=key.hash, who=Who(user="ada", key=key.id), permissions=permissions, expires_us=expires_us
    )


def visit(credential: str = "", *, host: str = "localhost:8000", peer: str = "127.0.0.1") -> Visit:
    return Visit(host=host, peer=peer, credential=credential)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "localhost."])
def test_the_open_door_answers_for_this_machine(host: str) -> None:
    assert admit(LOOPBACK, visit(host=host), "ai", ring(), now_us=0) == LOCAL


@pytest.mark.parametrize(
    "host", ["evil.example", "", "127.0.0.1.evil.example", "a/b?c#d", "localhost@evil", "[::1", "a b"]
)
def test_the_open_door_refuses_foreign_hosts(host: str) -> None:
    with pytest.raises(Misdirected) as refusal:
        admit(LOOPBACK, visit(host=host), "ai", ring(), now_us=0)
    assert refusal.value.status == 421


def test_an_allowed_host_is_answered() -> None:
    door = Door(bind="loopback", allowed_hosts=frozenset({"box.lan"}))
    assert admit(door, visit(host="box.lan:8000"), "ai", ring(), now_us=0) == LOCAL


@pytest.mark.parametrize("credential", ["sk-anything", "none-needed-here", "Bearer"])
def test_the_open_door_ignores_keys_that_are_not_ours(credential: str) -> None:
    assert admit(LOOPBACK, visit(credential), "manage", ring(), now_us=0) == LOCAL


def test_the_open_door_refuses_a_wrong_key_of_ours() -> None:
    with pytest.raises(NotAuthenticated):
        admit(LOOPBACK, visit("uc_aaaaaaaa_" + "x" * 43), "ai", ring(), now_us=0)


def test_the_first_virtual_key_closes_the_open_door() -> None:
    key = make_key(entropy)
    keys = ring(stored(key))
    with pytest.raises(NotAuthenticated):
        admit(LOOPBACK, visit(), "ai", keys, now_us=0)
    with pytest.raises(NotAuthenticated):
        admit(LOOPBACK, visit("sk-anything"), "ai", keys, now_us=0)
    assert admit(LOOPBACK, visit(key.text), "ai", keys, now_us=0).who.user == "ada"


def test_a_key_without_the_permission_is_forbidden() -> None:
    key = make_key(entropy)
    with pytest.raises(NotAllowed):
        admit(LOOPBACK, visit(key.text), "manage", ring(stored(key)), now_us=0)


def test_an_expired_key_is_unknown() -> None:
    key = make_key(entropy)
    keys = ring(stored(key, expires_us=100))
    admit(CLOSED, visit(key.text), "ai", keys, now_us=99)
    with pytest.raises(NotAuthenticated):
        admit(CLOSED, visit(key.text), "ai", keys, now_us=100)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t[:12] + "A" * 43, lambda t: t.upper()]
)
def test_a_changed_key_is_unknown(change: "object") -> None:
    key = make_key(entropy)
    assert callable(change)
    with pytest.raises(NotAuthenticated):
        admit(CLOSED, visit(change(key.text)), "ai", ring(stored(key)), now_us=0)


def test_the_master_key_opens_everything_even_while_the_database_is_away() -> None:
    away = KeyRing()
    assert admit(CLOSED, visit("master"), "manage", away, now_us=0) == OPERATOR


@pytest.mark.parametrize("credential", ["", "Master", "sk-anything"])
def test_a_closed_server_refuses_everyone_else(credential: str) -> None:
    with pytest.raises(NotAuthenticated):
        admit(CLOSED, visit(credential), "ai", ring(), now_us=0)


@pytest.mark.parametrize("permission", ["scrape", "docs"])
def test_the_metrics_token_reads_and_no_more(permission: "str") -> None:
    assert admit(CLOSED, visit("scrape-me"), permission, ring(), now_us=0) == SCRAPER  # type: ignore[arg-type]  # a Literal by parameter
    with pytest.raises(NotAuthenticated):
        admit(CLOSED, visit("scrape-me"), "ai", ring(), now_us=0)


def test_health_is_open_to_all() -> None:
    admit(CLOSED, visit(host="anything at all"), "open", KeyRing(), now_us=0)


def test_under_a_foreign_server_only_this_machine_is_served() -> None:
    door = Door(bind="unknown")
    assert admit(door, visit(), "ai", ring(), now_us=0) == LOCAL
    with pytest.raises(NotAuthenticated) as refusal:
        admit(door, visit(peer="203.0.113.9"), "ai", ring(), now_us=0)
    assert "UNDERCROFT_MASTER_KEY" in str(refusal.value)
    with pytest.raises(Misdirected):
        admit(door, visit(host="evil.example"), "ai", ring(), now_us=0)


def test_while_keys_are_unknown_nobody_is_told_that_theirs_is_wrong() -> None:
    key = make_key(entropy)
    for credential in ("", key.text):
        with pytest.raises(Unavailable) as refusal:
            admit(LOOPBACK, visit(credential), "ai", KeyRing(), now_us=0)
        assert refusal.value.status == 503


def test_the_stored_hash_does_not_contain_the_key() -> None:
    key = make_key(entropy)
    secret = key.text[len("uc_") + 8 + 1 :]
    assert len(secret) == 43  # 256 bits
    assert secret.encode() not in key.hash
    assert key.hash == hash_secret(secret, salt=key.hash[:16])


@pytest.mark.parametrize(("host", "name"), [("A.b:1", "a.b"), ("[::1]:80", "[::1]"), ("x:123456", ""), ("a\r\nb", "")])
def test_host_names_are_read_strictly(host: str, name: str) -> None:
    assert host_name(host) == name
