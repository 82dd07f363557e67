"""Bodies that no client should send, on every route that takes one: 4xx, no crash, flat memory."""

import random
from collections.abc import Iterator

import pytest

from tests.support.raw import answers, connected
from tests.support.server import SCRIPTED, Server, serving, until

MASTER = "a-master-key-of-more-than-16-characters"
CHAT = b'{"model": "chat", "messages": [{"role": "user", "content": "hi"}], "temperature": 1.5, "stop": ["a", "b"]}'
MEGABYTE = 1_000_000
GROWTH_BYTES = 150 * MEGABYTE
"""More than a body at its limit and what is made of it; far less than all bodies together."""

BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "a word": b"hello",
    "a NUL": b"\0",
    "NULs inside": CHAT.replace(b"hi", b"h\0i"),
    "bad UTF-8": CHAT.replace(b"hi", b"\xff\xfe"),
    "a lone surrogate": CHAT.replace(b"hi", rb"\ud800"),
    "UTF-16": CHAT.decode().encode("utf-16"),
    "an array": b"[" + CHAT + b"]",
    "two documents": CHAT + CHAT,
    "a trailing comma": CHAT[:-1] + b",}",
    "NaN": CHAT.replace(b"1.5", b"NaN"),
    "Infinity": CHAT.replace(b"1.5", b"-Infinity"),
    "a huge number": CHAT.replace(b"1.5", b"1" * 5000),
    "a huge exponent": CHAT.replace(b"1.5", b"1e99999"),
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b'{"messages":' + b"[" * 500 + b"]" * 500 + b"}",
    "deep in a field nobody knows": CHAT[:-1] + b',"x":' + b"[" * 2000 + b"]" * 2000 + b"}",
    "many keys": b"{" + b",".join(b'"k%d": 1' % number for number in range(20_000)) + b"}",
    "a number for the model": CHAT.replace(b'"chat"', b"7"),
    "comments": b"/* hi */" + CHAT,
    "single quotes": CHAT.replace(b'"', b"'"),
    "a megabyte of blanks": b" " * MEGABYTE,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("fuzz"), toml=SCRIPTED, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as running:
        until(lambda: running.ask("/health/ready").status == 200)
        yield running


TWICE = {
    "the model": CHAT[:-1] + b', "model": "another"}',
    "what is said": CHAT.replace(b'"content"', b'"content": "fine", "content"'),
    "written in another way": CHAT.replace(b'"content"', rb'"conten\u0074": "fine", "content"'),
    "in a field nobody knows": CHAT[:-1] + b', "x": [{"y": {"a": 1, "a": 2}}]}',
    "in nothing but it": b'{"a": 1, "a": 1}',
    "behind a megabyte": CHAT.replace(b"hi", b"x" * MEGABYTE).replace(b'"content"', b'"content": "fine", "content"'),
}

MANAGED = ("/api/v1/keys", "/api/v1/users", "/api/v1/webhooks", "/api/v1/plans", "/api/v1/session")
"""Of the management API these few: one decoder reads for all of it."""


def taking_bodies(server: Server) -> list[tuple[str, str]]:
    paths = server.ask("/openapi.json", key=MASTER).json["paths"]
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, item in paths.items()
        for method in item
        if method in ("post", "put", "patch") and (path in MANAGED or not path.startswith("/api/v1/"))
    ]


def test_no_route_breaks_on_a_broken_body_and_memory_stays_flat(server: Server) -> None:
    routes = taking_bodies(server)
    assert len(routes) > 15
    before = server.resident_bytes
    for name, body in BROKEN.items():
        for method, path in routes:
            headers = {"content-type": "application/json"}
            answer = server.ask(path, method=method, body=body, key=MASTER, headers=headers)
            is_no_body = not body or path.endswith(
                ("/test", "/cancel", "/retry", "/rotate", "/revoke", "/reload", "/vector_stores")
            )
            assert answer.status < 500, (name, method, path, answer.body[:300])
            # A number nobody can hold is an error only where somebody reads it.
            assert answer.status >= 400 or is_no_body or name.startswith("a huge "), (name, method, path, answer)
    assert server.resident_bytes - before < GROWTH_BYTES
    assert server.chat(key=MASTER).status == 200


def test_a_name_that_stands_twice_is_refused_on_every_route_that_takes_json(server: Server) -> None:
    paths = server.ask("/openapi.json", key=MASTER).json["paths"]
    routes = [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, item in paths.items()
        for method, described in item.items()
        if "application/json" in described.get("requestBody", {}).get("content", {})
    ]
    assert {"/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/vector_stores", "/api/v1/keys"} <= {
        path for _, path in routes
    }
    for name, body in TWICE.items():
        for method, path in routes:
            headers = {"content-type": "application/json"}
            answer = server.ask(path, method=method, body=body, key=MASTER, headers=headers)
            assert answer.status == 400, (name, method, path, answer.body[:300])
            error = answer.json["error"]  # Anthropic's own has no code
            assert "twice" in error["message"], (name, method, path, error)
            assert error.get("code", "duplicated_name") == "duplicated_name"
    assert server.chat(key=MASTER).status == 200


def test_cut_and_garbled_bodies_are_answered_with_4xx_or_served(server: Server) -> None:
    rng = random.Random(11)
    for length in range(0, len(CHAT), 3):
        assert server.ask("/v1/chat/completions", body=CHAT[:length], key=MASTER).status == 400, length
    for _ in range(300):
        garbled = bytearray(CHAT)
        for _ in range(rng.randrange(1, 4)):
            garbled[rng.randrange(len(garbled))] = rng.randrange(256)
        assert server.ask("/v1/chat/completions", body=bytes(garbled), key=MASTER).status in (200, 400, 404), garbled


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/keys", "/api/v1/jobs", "/v1/responses"])
def test_a_hundred_megabytes_are_refused_and_never_held(server: Server, path: str) -> None:
    before = server.resident_bytes
    said = b"POST %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n" % (path.encode(), MASTER.encode())
    with connected(server.port) as wire:
        wire.send(said + b"Content-Length: 100000000\r\n\r\n")
        (announced,) = answers(wire.read_to_end())
    assert announced.status == 413
    with connected(server.port) as wire:
        wire.send(said + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        for _ in range(100):
            wire.try_send(piece)
        (streamed,) = answers(wire.read_to_end())
    assert streamed.status == 413
    assert server.resident_bytes - before < GROWTH_BYTES


def test_the_limits_are_the_operators(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = "[server.limits]\nmax_json_depth = 5\nmax_messages = 3\nmax_body_bytes = 2000\nmax_header_fields = 20\n"
    with serving(tmp_path_factory.mktemp("limits"), toml=f"{SCRIPTED}\n{limits}max_head_bytes = 2048\n") as server:
        message = {"role": "user", "content": "hi"}
        deep = server.chat(extra={"a": {"b": {"c": {"d": {"e": 1}}}}})
        assert (deep.status, deep.error["code"]) == (400, "nested_too_deeply")
        many = server.ask("/v1/chat/completions", json={"model": "chat", "messages": [message] * 4})
        assert (many.status, many.error["code"]) == (400, "array_above_max_length")
        assert server.chat("x" * 3000).status == 413
        assert server.ask("/v1/models", headers={f"x-{number}": "a" for number in range(30)}).status == 431
        assert server.ask("/v1/models", headers={"x-long": "a" * 3000}).status == 431
        assert server.chat().status == 200
