"""A running server gives answers again: on every route, whole and streamed, until they are removed."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis import running_redis
from tests.support.server import Server, run, serving, until

TOML = """
[cache]
mode = "always"

[[models]]
name = "chat"

[[models.deployments]]
provider = "scripted"
script = "Four words, no more."
price = { input = "1.00", output = "2.00" }

[[models]]
name = "plain"
cache = false

[[models.deployments]]
provider = "scripted"
script = "Each time anew."
"""

HI = [{"role": "user", "content": "Hi"}]
ROUTES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": HI}),
    ("/v1/messages", {"messages": HI, "max_tokens": 50}),
    ("/v1/responses", {"input": "Hi"}),
    ("/v1/completions", {"prompt": "Hi"}),
    ("/v1/embeddings", {"input": ["Hi", "you"]}),
    ("/api/generate", {"prompt": "Hi"}),
]


def said(body: bytes) -> list[bytes]:
    """The lines of an answer, without what each has of its own: ids and times."""
    lines = body.replace(b",", b"\n").splitlines()
    own = (b"req_", b"resp_", b"msg_", b"chatcmpl-", b"cmpl-", b'"cre', b'"completed_at', b'"cost"')
    return [line for line in lines if not any(mark in line for mark in own)]


def test_every_route_gives_an_answer_again_whole_and_streamed(tmp_path: Path) -> None:
    with serving(tmp_path, toml=TOML) as server:
        asked = 0
        for (path, fields), stream in itertools.product(ROUTES, (False, True)):
            if stream and path == "/v1/embeddings":
                continue
            body = {"model": "chat", "stream": stream, **fields} if stream else {"model": "chat", **fields}
            first, second = (server.ask(path, json=body) for _ in range(2))
            asked += 2
            assert (first.status, second.status) == (200, 200), (path, stream, first, second)
            assert first.headers["x-undercroft-cache"] == "miss"
            assert second.headers["x-undercroft-cache"] == "hit"
            assert first.headers["x-undercroft-cache-id"] == second.headers["x-undercroft-cache-id"]
            assert said(first.body) == said(second.body), (path, stream)
        until(lambda: len(server.rows()) == asked)
        rows = server.rows()
        assert [row.cost_nano for row in rows if row.cache == "hit"] == [0] * (asked // 2)
        assert all(row.saved_nano for row in rows if row.cache == "hit" and row.endpoint != "/v1/embeddings")
        assert server.ask("/api/v1/usage").status == 200


@pytest.mark.parametrize("store", ["memory", "database", "redis"])
def test_a_removed_answer_is_made_anew_and_refusals_are_not_kept(tmp_path: Path, store: str) -> None:
    with running_redis() as redis:
        extra = {"REDIS_URL": redis.url} if store == "redis" else None
        with serving(tmp_path, toml=TOML.replace("[cache]", f'[cache]\nstore = "{store}"'), extra=extra) as server:
            assert [outcome(server) for _ in range(2)] == ["miss", "hit"]
            cached = server.chat("Hi").headers["x-undercroft-cache-id"]
            known = server.ask(f"/api/v1/cache/{cached}").json
            assert (known["model"], known["deployment"], known["is_stream"]) == ("chat", "chat/0", False)
            assert server.ask(f"/api/v1/cache/{cached}", method="DELETE").status == 204
            assert outcome(server) == "miss"
            assert server.ask("/api/v1/cache/cache_none", method="DELETE").error["code"] == "not_found"
            assert "x-undercroft-cache" not in server.chat(model="plain").headers
            if store == "redis":
                redis.kill()
                assert [outcome(server) for _ in range(2)] == ["miss", "miss"]
                assert server.ask(f"/api/v1/cache/{cached}", method="DELETE").error["code"] == "cache_unavailable"


def test_a_wrong_directive_is_refused_whole(tmp_path: Path) -> None:
    with serving(tmp_path, toml=TOML) as server:
        body = {"model": "chat", "messages": HI}
        answer = server.ask("/v1/chat/completions", json=body, headers={"x-undercroft-cache-control": "sometimes"})
        assert answer.status == 400
        assert "sometimes" in answer.error["message"]
        assert (
            server.ask("/v1/chat/completions", json=body, headers={"x-undercroft-cache-control": "no-store"}).headers[
                "x-undercroft-cache"
            ]
            == "miss"
        )
        assert outcome(server) == "miss"


def outcome(server: Server) -> str:
    answer = server.chat("Hi")
    assert answer.status == 200, answer
    return answer.headers["x-undercroft-cache"]


def test_why_tells_what_became_of_a_call(tmp_path: Path) -> None:
    with serving(tmp_path, toml=TOML) as server:
        first, second = (server.chat("Hi") for _ in range(2))
        assert first.headers["x-undercroft-deployment"] == "chat/0"
        assert first.headers["x-undercroft-attempts"] == "1"
        assert first.headers["x-undercroft-cost"] == "0.000009"
        assert second.headers["x-undercroft-cost"] == "0"
        assert "x-undercroft-deployment" not in second.headers
        path = f"/api/v1/requests/{second.request_id}/explanation"
        until(lambda: server.ask(path).status == 200)
        told = server.ask(path).json
        assert (told["cache"], told["cost_usd"], told["saved_usd"]) == ("hit", "0", "0.000009")
        assert [step["step"] for step in told["steps"]] == ["asked", "cache", "answer", "cost"]
        assert server.ask("/api/v1/requests/req_none/explanation").error["code"] == "not_found"
        shown = run(tmp_path, "why", first.request_id)
        assert shown.exit_code == 0, shown
        assert "1. /v1/chat/completions was asked for the model 'chat'" in shown.stdout
        assert "by the price settings 1/2" in shown.stdout
        assert run(tmp_path, "why", "req_none").exit_code == 1
