"""People who sign in: cookies, changes that come from elsewhere, too many tries, and roles that are taken away."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.http import Answer
from tests.support.server import SCRIPTED, Server, serving, until
from undercroft.access.accounts import TRIES

MASTER = "a-master-key-of-more-than-16-characters"
PASSWORD = "correct horse battery staple"
FOR_KEYS = ("/api/v1/jobs", "/api/v1/feedback")
"""A cookie opens management alone; these are for whoever calls models."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    toml = f'{SCRIPTED}\n[server]\ntrusted_proxies = ["127.0.0.0/8"]\n'
    with serving(tmp_path_factory.mktemp("people"), toml=toml, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as running:
        until(lambda: running.ask("/health/ready").status == 200)
        for user, role in {"ada": "admin", "olga": "operator", "vera": "viewer"}.items():
            made = running.ask("/api/v1/users", json={"user": user, "role": role, "password": PASSWORD}, key=MASTER)
            assert made.status == 201, made
        yield running


def sign_in(server: Server, user: str, password: str = PASSWORD, **headers: str) -> Answer:
    return server.ask("/api/v1/session", json={"user": user, "password": password}, headers=headers)


def session(server: Server, user: str) -> tuple[dict[str, str], str]:
    """The header with the cookie, and the token for changes."""
    answer = sign_in(server, user)
    assert answer.status == 200, answer
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}, answer.json["csrf_token"]


def test_a_session_opens_what_its_role_may_and_no_ai_route(server: Server) -> None:
    cookie, _ = session(server, "vera")
    assert server.ask("/api/v1/keys", headers=cookie).status == 200
    assert server.ask("/docs", headers=cookie).status == 200
    assert server.ask("/api/v1/users", headers=cookie).status == 403
    assert server.ask("/v1/models", headers=cookie).status == 401, "AI routes take no cookies"
    shown = server.ask("/api/v1/session", headers=cookie).json
    assert (shown["user"], shown["role"]) == ("vera", "viewer")


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(server: Server) -> None:
    plain = sign_in(server, "vera").headers["set-cookie"]
    assert plain.startswith("undercroft_session=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in plain.split(";")}
    behind_tls = sign_in(server, "vera", **{"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert behind_tls.startswith("__Host-undercroft_session=")
    assert "Secure" in behind_tls


def change(server: Server, headers: Mapping[str, str]) -> Answer:
    hook: dict[str, Any] = {"url": "https://hooks.example.com/x"}
    return server.ask("/api/v1/webhooks", json=hook, headers=headers)


def test_a_change_needs_the_token_and_our_own_page(server: Server) -> None:
    cookie, token = session(server, "olga")
    host = f"127.0.0.1:{server.port}"
    refused = [
        cookie,
        {**cookie, "x-csrf-token": "0" * 64},
        {**cookie, "x-csrf-token": token, "origin": "https://evil.example"},
        {**cookie, "x-csrf-token": token, "origin": "null"},
        {**cookie, "x-csrf-token": token, "sec-fetch-site": "cross-site"},
    ]
    for headers in refused:
        assert change(server, headers).status == 403, headers
    assert change(server, {**cookie, "x-csrf-token": token, "origin": f"http://{host}"}).status == 201


def test_every_change_by_cookie_is_refused_without_the_token(server: Server) -> None:
    cookie, _ = session(server, "ada")
    described = server.ask("/openapi.json", key=MASTER).json["paths"]
    changes = [
        (method.upper(), path)
        for path, item in described.items()
        for method in item
        if path.startswith("/api/v1/") and not path.startswith(FOR_KEYS) and method != "get"
    ]
    assert len(changes) > 15
    for method, path in changes:
        if (method, path) == ("POST", "/api/v1/session"):
            continue
        filled = path.replace("{", "").replace("}", "")
        answer = server.ask(filled, method=method, body=b"{}", headers=cookie)
        assert (answer.status, answer.error["code"]) == (403, "csrf_token_wrong"), (method, path)


def test_another_sites_page_signs_nobody_in(server: Server) -> None:
    assert sign_in(server, "vera", origin="https://evil.example").error["code"] == "foreign_origin"


def test_signing_out_ends_the_session(server: Server) -> None:
    cookie, token = session(server, "vera")
    gone = server.ask("/api/v1/session", method="DELETE", headers={**cookie, "x-csrf-token": token})
    assert gone.status == 204
    assert server.ask("/api/v1/keys", headers=cookie).status == 401
    opened, closed = (
        server.ask(f"/api/v1/audit?action={action}", key=MASTER).json["data"][0]
        for action in ("session.open", "session.close")
    )
    assert (closed["actor"], closed["subject"], closed["address"]) == ("user vera", "vera", "127.0.0.1")
    assert (closed["actor"], closed["request_id"]) == (opened["actor"], gone.request_id)


def test_a_wrong_password_and_an_unknown_name_look_the_same_and_are_slowed_down(server: Server) -> None:
    told = {}
    for user in ("nobody-here", "ada"):
        answers = [sign_in(server, user, "wrong password here", **{"x-forwarded-for": f"203.0.113.{len(user)}"})]
        while answers[-1].status == 401 and len(answers) < 2 * TRIES:
            again = sign_in(server, user, "wrong password here", **{"x-forwarded-for": f"203.0.113.{len(user)}"})
            answers.append(again)
        assert answers[-1].status == 429, answers[-1]
        assert int(answers[-1].headers["retry-after"]) >= 1
        told[user] = [(answer.status, answer.error) for answer in answers]
    assert told["nobody-here"] == told["ada"]
    right = sign_in(server, "ada", **{"x-forwarded-for": "203.0.113.77"})
    assert right.status in (200, 429), "the account waits, whoever asks"


def test_a_role_that_is_taken_away_ends_sessions_and_narrows_keys(server: Server) -> None:
    made = server.ask("/api/v1/users", json={"user": "dan", "role": "developer", "password": PASSWORD}, key=MASTER)
    assert made.status == 201
    cookie, token = session(server, "dan")
    key = server.ask("/api/v1/keys", json={}, headers={**cookie, "x-csrf-token": token})
    assert (key.status, key.json["made_by"], key.json["user"]) == (201, "user:dan", "dan")
    assert server.chat(key=key.json["key"]).status == 200

    changed = server.ask("/api/v1/users/dan", method="PATCH", json={"role": "viewer"}, key=MASTER)
    assert changed.json["role"] == "viewer"
    assert server.ask("/api/v1/keys", headers=cookie).status == 401
    assert server.chat(key=key.json["key"]).status == 403, "its maker may not call models any more"
    server.ask("/api/v1/users/dan", method="PATCH", json={"disabled": True}, key=MASTER)
    until(lambda: server.chat(key=key.json["key"]).status == 401)
    assert sign_in(server, "dan").status == 401


def test_passwords_are_in_no_log_and_no_answer(server: Server) -> None:
    assert PASSWORD not in server.stdout + server.stderr
    for path in ("/api/v1/users", "/api/v1/audit"):
        body = server.ask(path, key=MASTER).body.decode()
        assert PASSWORD not in body
        assert "argon2" not in body


def test_other_origins_get_no_answer_in_a_browser_unless_they_are_named(tmp_path: Path) -> None:
    toml = f'{SCRIPTED}\n[server]\ncors_origins = ["https://app.test"]\n'
    with serving(tmp_path, toml=toml) as server:
        ours = {"origin": "https://app.test"}
        asked = {**ours, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = server.ask("/v1/chat/completions", method="OPTIONS", headers=asked)
        assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, "https://app.test")
        assert server.ask("/v1/models", headers=ours).headers["access-control-allow-origin"] == "https://app.test"
        foreign = server.ask("/v1/models", headers={"origin": "https://evil.example"})
        assert (foreign.status, foreign.error["code"]) == (403, "foreign_origin"), "the open door serves no other site"
        assert "access-control-allow-origin" not in foreign.headers
        local = server.ask("/v1/models", headers={"origin": "http://localhost:3000"})
        assert (local.status, "access-control-allow-origin" in local.headers) == (200, False)
