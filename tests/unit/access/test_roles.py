"""Nobody gives away more than they have, whatever they have and ask for."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from undercroft.access.keys import KeyRing, StoredKey
from undercroft.access.roles import GRANTABLE, ROLES, Rights, both, excess, expanded
from undercroft.record import Who

ROUTES = ["/v1/chat/completions", "/v1/embeddings", "/v1/*", "/*", "/api/v1/keys", "/api/*", "/v1/models"]
PATHS = ["/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/messages", "/api/v1/keys", "/api/generate"]
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "::/0", "2001:db8::/32", "192.168.0.0/16"]
ADDRESSES = ["10.1.2.3", "10.9.9.9", "192.168.1.1", "203.0.113.7", "2001:db8::5", "::1"]


def some(values: list[str]) -> st.SearchStrategy[frozenset[str] | None]:
    return st.none() | st.frozensets(st.sampled_from(values), max_size=4)


rights = st.builds(
    Rights,
    permissions=st.frozensets(st.sampled_from(GRANTABLE)),
    models=some(["a", "b", "c"]),
    routes=some(ROUTES),
    networks=st.none() | st.lists(st.sampled_from(NETWORKS), max_size=3).map(lambda each: tuple(map(ip_network, each))),
    expires_us=st.none() | st.integers(1, 100),
)


def can(held: Rights) -> set[tuple[str, str, str, str, int]]:
    """Everything that these rights let their bearer do."""
    return {
        (permission, model, path, address, now_us)
        for permission in expanded(held.permissions)
        for model in ("a", "b", "c", "d")
        if held.models is None or model in held.models
        for path in PATHS
        if held.admits_route(path)
        for address in ADDRESSES
        if held.admits_address(address)
        for now_us in (0, 50, 99, 200)
        if held.expires_us is None or now_us < held.expires_us
    }


@given(rights, rights)
def test_what_is_no_excess_can_do_nothing_more(child: Rights, maker: Rights) -> None:
    if not excess(child, maker):
        assert can(child) <= can(maker)


@given(rights, rights)
def test_what_both_may_is_what_each_of_them_may(one: Rights, other: Rights) -> None:
    assert can(both(one, other)) == can(one) & can(other)


@given(rights)
def test_everybody_may_give_what_they_have(own: Rights) -> None:
    assert excess(own, own) == ""


def test_roles_stand_above_one_another() -> None:
    assert ROLES["admin"] > ROLES["operator"] > ROLES["developer"]
    assert all(expanded(held) == held for held in ROLES.values())
    assert "ai" not in ROLES["viewer"]


def test_an_address_in_ipv6_clothes_is_the_same_address() -> None:
    bound = Rights(networks=(ip_network("10.0.0.0/8"),))
    assert bound.admits_address("::ffff:10.1.2.3")
    assert not bound.admits_address("::ffff:203.0.113.7")
    assert not bound.admits_address("")
    assert ip_address("10.1.2.3") in ip_network("10.0.0.0/8")


def stored(id: str, *, maker: str = "", **bounds: object) -> StoredKey:
    fields = {"hash": b"", "who": Who(key=id), "permissions": frozenset({"ai", "manage"}), "maker": maker, **bounds}
    return StoredKey(id=id, **fields)  # type: ignore[arg-type]  # put together by name


def test_a_key_never_does_more_than_those_above_it() -> None:
    ring = KeyRing()
    grand = stored("a", models=frozenset({"x", "y"}))
    parent = stored("b", maker="key:a", models=None)
    child = stored("c", maker="key:b", models=frozenset({"y", "z"}))
    ring.replace([grand, parent, child])
    assert [model for model in "xyz" if ring.may_call("b", model)] == ["x", "y"]
    assert [model for model in "xyz" if ring.may_call("c", model)] == ["y"]
    ring.replace([parent, child])
    assert not ring.may_call("c", "y"), "the one above has gone, and so has what it gave"


def test_keys_that_made_each_other_open_nothing() -> None:
    ring = KeyRing()
    ring.replace([stored("a", maker="key:b"), stored("b", maker="key:a")])
    assert not ring.may_call("a", "x")


def test_an_account_that_is_closed_closes_its_keys() -> None:
    ring, key = KeyRing(), stored("a", maker="user:ada")
    ring.replace([key], accounts={("default", "ada"): ROLES["developer"]})
    assert ring.may_call("a", "x")
    ring.replace([key], accounts={("other", "ada"): ROLES["developer"]})
    assert not ring.may_call("a", "x")
