"""What goes wrong on any route of a running server is told in one envelope, with an id, and without anything inside."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.server import SCRIPTED, Server, serving

CHAT = "/v1/chat/completions"
HI = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
LIMIT_BYTES = 1_000_000
INSIDE = ("Traceback", "site-packages", ".py", "src/undercroft")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    toml = f"{SCRIPTED}\n[server.limits]\nmax_body_bytes = {LIMIT_BYTES}\n"
    with serving(tmp_path_factory.mktemp("errors"), toml=toml) as running:
        yield running


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/", "/v1/chat/completions/", "/api/v1/nowhere", "/HEALTH", "//"]
)
def test_an_unknown_path_is_404(server: Server, path: str) -> None:
    answer = server.ask(path)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "unknown_route", None)
    assert answer.request_id


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", CHAT, "GET, POST"),
        ("PUT", "/v1/embeddings", "POST"),
        ("DELETE", "/v1/models", "GET"),
        ("POST", "/v1/models/chat", "DELETE, GET"),
        ("POST", "/health", "GET"),
        ("PATCH", "/metrics", "GET"),
        ("GET", "/api/generate", "POST"),
        ("OPTIONS", "/", "GET"),
        ("DELETE", "/api/v1/usage", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(server: Server, method: str, path: str, allowed: str) -> None:
    answer = server.ask(path, method=method)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
    assert answer.request_id


def body_with(text: bytes) -> bytes:
    return b'{"model":"chat","messages":[{"role":"user","content":"hi"}],%b}' % text


NO_JSON = {
    "nothing": b"",
    "a blank": b" ",
    "half an object": b"{",
    "two objects": b"{}{}",
    "a trailing comma": b'{"model":"chat",}',
    "single quotes": b"{'model':'chat'}",
    "a hundred thousand arrays": b"[" * 100_000,
    "a hundred thousand objects": b'{"a":' * 100_000,
    "a deep field that nobody reads": body_with(b'"x":' + b"[" * 100_000 + b"]" * 100_000),
    "NaN": body_with(b'"temperature":NaN'),
    "Infinity": body_with(b'"temperature":-Infinity'),
    "1e400": body_with(b'"temperature":1e400'),
    "a number of 5000 digits": body_with(b'"max_tokens":' + b"9" * 5000),
    "a leading zero": body_with(b'"max_tokens":01'),
    "invalid UTF-8": body_with(b'"user":"\xff\xfe"'),
    "an overlong NUL": body_with(b'"user":"\xc0\x80"'),
    "a raw NUL": body_with(b'"user":"\x00"'),
    "a lone surrogate": body_with(b'"user":"\\ud800"'),
    "a raw surrogate": body_with(b'"user":"\xed\xa0\x80"'),
    "UTF-16": '{"model":"chat"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "a form": b"model=chat&prompt=hi",
}


@pytest.mark.parametrize("name", NO_JSON)
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/api/generate"])
def test_what_is_no_json_is_400(server: Server, path: str, name: str) -> None:
    answer = server.ask(path, body=NO_JSON[name])
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    # To /api/generate an empty body is no body: there only the prompt is missing.
    is_none = path == "/api/generate" and not NO_JSON[name].strip()
    code = "nested_too_deeply" if name == "a deep field that nobody reads" else "invalid_json"
    assert answer.error["code"] == ("missing_required_parameter" if is_none else code), answer
    assert answer.request_id


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/embeddings", "/api/generate"])
def test_a_body_that_came_encoded_is_415_and_says_so(server: Server, path: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = server.ask(path, body=gzip.compress(body_with(b'"user":"a"')), headers=headers)
    error = answer.json["error"]
    assert (answer.status, error["type"]) == (415, "invalid_request_error")
    assert "encoded as 'gzip'" in error["message"]
    headers["content-encoding"] = "identity"
    assert server.ask(CHAT, body=body_with(b'"user":"a"'), headers=headers).status == 200


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        (CHAT, [], None, "invalid_type"),
        (CHAT, "hi", None, "invalid_type"),
        (CHAT, {"model": "chat"}, "messages", "missing_required_parameter"),
        (CHAT, {**HI, "messages": []}, "messages", "empty_array"),
        (CHAT, {**HI, "messages": [{"role": "user", "content": 3}]}, "messages[0].content", "invalid_type"),
        (CHAT, {**HI, "temperature": "hot"}, "temperature", "invalid_type"),
        (CHAT, {**HI, "temperature": 3}, "temperature", "decimal_above_max_value"),
        (CHAT, {**HI, "n": 0}, "n", "integer_below_min_value"),
        (CHAT, {**HI, "model": "nobody"}, "model", "model_not_found"),
        ("/v1/completions", {"model": "chat"}, "prompt", "missing_required_parameter"),
        ("/v1/embeddings", {"model": "chat", "input": []}, "input", "empty_array"),
        ("/v1/embeddings", {"model": "chat"}, "input", "missing_required_parameter"),
        ("/api/generate", {}, "prompt", "missing_required_parameter"),
        ("/api/generate", {"prompt": 5}, "prompt", "invalid_type"),
        ("/api/generate", {"prompt": "hi", "max_tokens": -1}, "max_tokens", "integer_below_min_value"),
    ],
)
def test_a_field_that_is_wrong_is_named(server: Server, path: str, body: Any, param: str | None, code: str) -> None:
    answer = server.ask(path, json=body)
    assert answer.status == (404 if code == "model_not_found" else 400), answer
    assert (answer.error["param"], answer.error["code"]) == (param, code)


def test_a_repeated_key_is_refused(server: Server) -> None:
    answer = server.ask(CHAT, body=b'{"model":"nobody",' + body_with(b'"n":1')[1:])
    assert (answer.status, answer.error["code"]) == (400, "duplicated_name")


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data", "application/json; charset=utf-16", ""])
def test_a_body_is_read_as_json_whatever_it_is_called(server: Server, content_type: str) -> None:
    answer = server.ask(CHAT, json=HI, headers={"content-type": content_type})
    assert answer.status == 200


def test_a_million_keys_are_read_beside_the_event_loop(server: Server) -> None:
    body = body_with(b",".join(b'"k%d":%d' % (number, number) for number in range(60_000)))
    assert len(body) < LIMIT_BYTES
    assert server.ask(CHAT, body=body).status == 200


@pytest.mark.parametrize("path", [CHAT, "/api/generate", "/v1/models"])
def test_a_body_beyond_the_limit_is_413_and_the_client_can_read_why(server: Server, path: str) -> None:
    method = "POST" if path != "/v1/models" else "GET"
    answer = server.ask(path, method=method, body=b" " * (LIMIT_BYTES * 10))
    if path == "/v1/models":  # where no body is read, none is too large; the connection ends instead
        assert answer.status == 200
    else:
        assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert answer.headers["connection"] == "close"
    assert answer.request_id


def test_a_body_of_exactly_the_limit_is_taken(server: Server) -> None:
    body = body_with(b'"user":"x"').ljust(LIMIT_BYTES)
    assert server.ask(CHAT, body=body).status == 200
    assert server.ask(CHAT, body=body + b" ").status == 413


def test_no_answer_shows_what_is_inside(server: Server) -> None:
    """Every refusal above, once more: no paths, no stack, and nothing on stderr that an error would leave."""
    bodies = [*NO_JSON.values(), b'{"model":"/etc/passwd"}', body_with(b'"tools":[{}]')]
    for body in bodies:
        told = server.ask(CHAT, body=body).body.decode()
        assert not [word for word in INSIDE if word in told], told
    assert server.stderr == ""


@pytest.mark.parametrize("path", ["/health", "/health/live", "/metrics", "/v1/models", "/", "/docs", "/openapi.json"])
def test_head_is_answered_as_get_without_the_body(server: Server, path: str) -> None:
    got, headed = server.ask(path), server.ask(path, method="HEAD")
    assert (headed.status, headed.body) == (got.status, b"") == (200, b"")
    assert headed.headers["content-type"] == got.headers["content-type"]
    assert headed.request_id != got.request_id
