"""Every route of the OpenAPI document with every role and with none: nothing is open that the table does not open."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from tests.support.http import Answer
from tests.support.keys import add_key
from tests.support.server import SCRIPTED, Server, serving, until
from undercroft.access.roles import ROLES, Role
from undercroft.api.manage.rights import DEMANDS, demand_of

MASTER = "a-master-key-of-more-than-16-characters"
OPEN = {("GET", "/health"), ("GET", "/health/live"), ("GET", "/health/ready"), ("POST", "/api/v1/session")}
MANAGED = "/api/v1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("roles"), toml=SCRIPTED, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as running:
        until(lambda: running.ask("/health/ready").status == 200)
        yield running


@pytest.fixture(scope="module")
def keys(server: Server) -> dict[str, str]:
    """A key of each role, one that only calls models, and an admin's of another organisation."""
    texts = {}
    for role in get_args(Role):
        texts[role] = make(server, role=role)
    texts["ai"] = make(server)
    foreign = add_key(server.folder, permissions=tuple(ROLES["admin"]), organisation="other")
    texts["foreign admin"] = foreign.text
    until(lambda: server.ask("/api/v1/keys", key=foreign.text).status == 200)
    return texts


def make(server: Server, **body: object) -> str:
    made = server.ask("/api/v1/keys", json=body, key=MASTER)
    assert made.status == 201, made
    text: str = made.json["key"]
    return text


def routes(server: Server) -> list[tuple[str, str]]:
    described = server.ask("/openapi.json", key=MASTER).json["paths"]
    pages = [("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")]
    return [(method.upper(), path) for path, item in described.items() for method in item] + pages


def call(server: Server, method: str, path: str, *, key: str | None) -> Answer:
    """With ids that nothing has, and a body that no route takes: a caller who may is told so, and nothing changes."""
    filled = path.replace("{", "").replace("}", "")
    body = None if method in ("GET", "DELETE") else b'{"nothing": "that is known"}'
    headers = {} if body is None else {"content-type": "application/json"}
    return server.ask(filled, method=method, body=body, headers=headers, key=key)


def is_for_callers(method: str, path: str) -> bool:
    """Whether whoever may call models may use it, which is not managed."""
    return path.startswith("/api/v1/jobs") or (method, path) == ("POST", "/api/v1/feedback")


def permission_of(method: str, path: str) -> tuple[str, bool]:
    """What a route demands, and whether of the organisation `default` alone."""
    if path.startswith(f"{MANAGED}/") and not is_for_callers(method, path):
        return demand_of(method, path.removeprefix(MANAGED))
    if path == "/metrics":
        return "scrape", False
    return ("docs" if path in ("/", "/docs", "/openapi.json") else "ai"), False


def test_no_route_is_open_without_a_key_but_those_that_say_so(server: Server) -> None:
    listed = routes(server)
    assert len(listed) > 60
    for method, path in listed:
        status = call(server, method, path, key=None).status
        assert (status != 401) is ((method, path) in OPEN), (method, path, status)


@pytest.mark.parametrize("role", [*get_args(Role), "ai", "foreign admin"])
def test_a_role_opens_what_the_table_says_and_nothing_else(server: Server, keys: dict[str, str], role: str) -> None:
    has = ROLES["admin"] if role == "foreign admin" else ROLES.get(role, frozenset({"ai"}))  # type: ignore[call-overload]  # any text
    refused = 0
    for method, path in routes(server):
        if (method, path) in OPEN:
            continue
        permission, installation = permission_of(method, path)
        may = permission in has and not (installation and role == "foreign admin")
        answer = call(server, method, path, key=keys[role])
        assert answer.status < 500, (method, path, answer)
        if may:
            assert answer.status not in (401, 403), (method, path, answer)
        else:
            refused += 1
            told = answer.json["error"]["type"]  # in whichever envelope the route has
            assert (answer.status, told) == (403, "permission_error"), (method, path, answer)
    print(f"{role}: refused {refused} routes")
    assert role == "admin" or refused


def test_every_entry_of_the_table_is_a_route(server: Server) -> None:
    listed = {(method, path.removeprefix(MANAGED)) for method, path in routes(server) if path.startswith(MANAGED)}
    assert set(DEMANDS) <= listed
    managed = {each for each in listed if not is_for_callers(each[0], f"{MANAGED}{each[1]}")}
    assert managed <= set(DEMANDS), "each says what it demands"


def test_a_key_gives_nobody_more_than_it_has(server: Server, keys: dict[str, str]) -> None:
    bounded = make(
        server,
        role="developer",
        models=["chat"],
        routes=["/v1/*", "/api/v1/keys*"],
        networks=["127.0.0.0/8"],
        limits=[{"period": "day", "requests": 10}],
    )
    within = {
        "permissions": ["ai"],
        "models": ["chat"],
        "routes": ["/v1/chat/completions"],
        "networks": ["127.0.0.1"],
        "limits": [{"period": "day", "requests": 5}],
    }
    for name, more in {
        "permissions": ["manage"],
        "models": None,
        "routes": ["/*"],
        "networks": ["0.0.0.0/0"],
        "limits": [{"period": "day", "requests": 11}],
    }.items():
        refused = server.ask("/api/v1/keys", json={**within, name: more}, key=bounded)
        assert (refused.status, refused.error["code"]) == (403, "more_than_its_maker"), name
    made = server.ask("/api/v1/keys", json=within, key=bounded)
    assert made.status == 201, made
    child = made.json["key"]
    assert server.chat(key=child).status == 200
    assert server.ask("/v1/embeddings", json={"input": "x"}, key=child).error["code"] == "route_not_allowed"
    widened = server.ask(f"/api/v1/keys/{made.json['id']}", method="PATCH", json={"models": None}, key=bounded)
    assert widened.error["code"] == "more_than_its_maker"

    maker = bounded.split("_")[1]
    assert server.ask(f"/api/v1/keys/{maker}/revoke", method="POST", key=MASTER).status == 200
    assert server.chat(key=child).status == 401, "what a revoked key gave away goes with it"


def test_a_developer_sees_to_keys_of_its_own_only(server: Server, keys: dict[str, str]) -> None:
    other = server.ask("/api/v1/keys", json={"user": "somebody-else"}, key=MASTER).json["id"]
    for path in (f"/api/v1/keys/{other}/revoke", f"/api/v1/keys/{other}/rotate"):
        assert server.ask(path, method="POST", key=keys["developer"]).error["code"] == "key_not_found"
    own = server.ask("/api/v1/keys", json={"user": "somebody-else"}, key=keys["developer"])
    assert (own.status, own.json["user"]) == (201, "default"), "it makes keys in its own name only"


def test_a_key_is_used_from_its_networks_only(tmp_path: Path) -> None:
    toml = f'{SCRIPTED}\n[server]\ntrusted_proxies = ["127.0.0.0/8"]\n'
    with serving(tmp_path, toml=toml, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        key = make(server, networks=["203.0.113.0/24"])
        for came_from, status in {"203.0.113.9": 200, "198.51.100.1": 403, "203.0.113.9, 198.51.100.1": 403}.items():
            answer = server.ask("/v1/models", key=key, headers={"x-forwarded-for": came_from})
            assert answer.status == status, came_from
        assert server.ask("/v1/models", key=key).error["code"] == "address_not_allowed"
