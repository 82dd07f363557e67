"""What is remembered of a head is what it would say now, to the doors that there are now."""

import os
from collections.abc import Iterable

import pytest

from undercroft.access.doors import Bind, Door
from undercroft.access.keys import KeyRing, NewKey, StoredKey, make_key, new_secret
from undercroft.api.fast_path.heads import MOST_REMEMBERED, Heads
from undercroft.api.guard import Refusal, examine
from undercroft.record import Who

NOW_US = 1_000_000


def stored(
    key: NewKey, *, expires_us: int | None = None, permissions: Iterable[str] = ("ai",), **bounds: object
) -> StoredKey:
    return StoredKey(
        id=key.id,
        hash=key.hash,
        who=Who(key=key.id),
        permissions=frozenset(permissions),
        expires_us=expires_us,
        **bounds,  # type: ignore[arg-type]  # by name
    )


def ring(*keys: StoredKey) -> KeyRing:
    made = KeyRing()
    made.replace(keys)
    return made


def heads(keys: KeyRing, bind: Bind = "loopback", *, master_key: str | None = None) -> Heads:
    return Heads(Door(bind=bind, master_key=master_key), keys)


def head_of(*fields: str, key: str = "", host: str = "localhost", length: int = 9) -> bytes:
    lines = [f"host: {host}", *([f"authorization: Bearer {key}"] if key else []), *fields, f"Content-Length: {length}"]
    return ("POST /v1/chat/completions HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


def who(known: Heads, head: bytes, *, now_us: int = NOW_US) -> Who | None:
    """Whom a connection takes a head to be from: as it is remembered, else as it reads."""
    found = known.find(head)
    if found is None:
        request = examine(head)
        if isinstance(request, Refusal):
            return None
        found = known.read(head, request, now_us=now_us)
    return None if found is None else found[0].caller.who


def test_a_head_that_came_before_is_known_whatever_the_length_of_its_body() -> None:
    key = make_key(os.urandom)
    known = heads(ring(stored(key)))
    assert known.find(head_of(key=key.text)) is None
    assert who(known, head_of(key=key.text)) == Who(key=key.id)
    found = known.find(head_of(key=key.text, length=1234))
    assert found is not None
    assert (found[0].caller.who, found[1]) == (Who(key=key.id), 1234)
    assert known.find(head_of("accept: */*", key=key.text)) is None


def test_what_is_remembered_holds_no_key() -> None:
    key = make_key(os.urandom)
    known = heads(ring(stored(key)))
    who(known, head_of(key=key.text))
    assert known.find(head_of(key=key.text)) is not None
    assert key.text not in repr(known._known)


def test_a_second_length_is_never_taken_for_a_head_that_came_before() -> None:
    known = heads(ring())
    assert who(known, head_of()) == Who()
    assert known.find(head_of("content-length: 9")) is None
    assert who(known, head_of("content-length: 9")) is None
    assert who(known, head_of("transfer-encoding: chunked")) is None


def test_a_key_that_is_not_known_opens_nothing() -> None:
    key = make_key(os.urandom)
    known = heads(ring(stored(key)))
    assert who(known, head_of(key=make_key(os.urandom).text)) is None
    assert who(known, head_of()) is None, "the open door is closed once there is a key"


def test_a_revoked_key_opens_no_more() -> None:
    key = make_key(os.urandom)
    keys = ring(stored(key))
    known = heads(keys)
    assert who(known, head_of(key=key.text)) == who(known, head_of(key=key.text)) == Who(key=key.id)
    keys.replace([])
    assert who(known, head_of(key=key.text)) is None


def test_a_key_that_expires_is_looked_at_each_time() -> None:
    key = make_key(os.urandom)
    known = heads(ring(stored(key, expires_us=NOW_US + 1)))
    assert who(known, head_of(key=key.text)) is not None
    assert who(known, head_of(key=key.text), now_us=NOW_US + 1) is None


def test_a_key_that_is_being_rotated_is_looked_at_each_time() -> None:
    former = make_key(os.urandom)
    key = new_secret(former.id, os.urandom)
    known = heads(ring(stored(key, former_hash=former.hash, former_until_us=NOW_US + 1)))
    for text in (former.text, key.text):
        assert who(known, head_of(key=text)) == Who(key=key.id)
    assert who(known, head_of(key=former.text), now_us=NOW_US + 1) is None
    assert who(known, head_of(key=key.text), now_us=NOW_US + 1) == Who(key=key.id)


@pytest.mark.parametrize(
    "bounds",
    [{"permissions": ["docs"]}, {"networks": ("10.0.0.0/8",)}, {"routes": frozenset({"/v1/embeddings"})}],
)
def test_a_key_with_bounds_that_a_head_cannot_show_is_left_to_the_doors(bounds: dict[str, object]) -> None:
    key = make_key(os.urandom)
    assert who(heads(ring(stored(key, **bounds))), head_of(key=key.text)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "field",
    [
        "x-undercroft-tags: fast",
        "X-Undercroft-Cache-Control: no-store",
        "x-undercroft-anything-to-come: 1",
        "origin: https://elsewhere.example",
        "expect: 100-continue",
    ],
)
def test_who_asks_for_more_is_not_plain(field: str) -> None:
    assert who(heads(ring()), head_of(field)) is None


def test_a_trace_is_read_and_its_head_not_remembered() -> None:
    known = heads(ring())
    head = head_of("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    request = examine(head)
    assert not isinstance(request, Refusal)
    found = known.read(head, request, now_us=NOW_US)
    assert found is not None
    assert found[0].trace == "0af7651916cd43dd8448eb211c80319c"
    assert known.find(head) is None


def test_each_format_has_its_own_route_and_fields() -> None:
    known = heads(ring())
    head = head_of("anthropic-beta: new-things").replace(b"/v1/chat/completions", b"/v1/messages")
    assert who(known, head) == Who()
    found = known.find(head)
    assert found is not None
    assert (found[0].format.path, found[0].passed) == ("/v1/messages", (("anthropic-beta", "new-things"),))
    assert who(known, head.replace(b"new-things", b"?")) is None
    assert who(known, head_of().replace(b"/v1/chat/completions", b"/v1/embeddings")) is None


def test_the_open_door_looks_at_the_host_of_each_request() -> None:
    known = heads(ring())
    assert who(known, head_of()) == Who()
    assert who(known, head_of(host="evil.example")) is None


def test_before_the_keys_are_known_nobody_is() -> None:
    assert who(heads(KeyRing(), master_key="secret"), head_of(key="secret")) is None


def test_callers_who_send_ever_new_heads_do_not_fill_the_memory() -> None:
    known = heads(ring())
    for number in range(MOST_REMEMBERED + 10):
        assert who(known, head_of(f"x-number: {number}")) == Who()
    assert len(known._known) <= MOST_REMEMBERED
