"""What is kept of calls in a running server: by whose wish, for how long, for whom; and tags that usage is told by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.http import Answer
from tests.support.server import SCRIPTED, Server, run, serving, until

ALWAYS = f'{SCRIPTED}\n[ledger]\ncontent = "always"\ncontent_days = 1\ncontent_bytes = 200\ntags = ["project"]\n'
NEVER = f'{SCRIPTED}\n[ledger]\ncontent = "never"\n'
MASTER = "a-master-key-for-tests-only"
EXTRA = {"UNDERCROFT_MASTER_KEY": MASTER}
KEEP = {"x-undercroft-content": "keep"}


def chat(server: Server, text: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    body = {"model": "chat", "messages": [{"role": "user", "content": text}], **fields}
    return server.ask("/v1/chat/completions", json=body, headers=headers, key=MASTER)


def content_of(server: Server, request: str) -> Answer:
    return server.ask(f"/api/v1/requests/{request}/content", key=MASTER)


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_asks_for_it_is_kept_and_can_be_forgotten(stream: bool, tmp_path: Path) -> None:
    with serving(tmp_path, extra=EXTRA) as server:
        plain = chat(server, "not this one")
        kept = chat(server, "keep this one, sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", stream=stream, headers=KEEP)
        assert "x-undercroft-content" not in plain.headers
        assert kept.headers["x-undercroft-content"] == "kept"
        until(lambda: content_of(server, kept.request_id).status == 200)
        found = content_of(server, kept.request_id).json
        assert "keep this one, [REDACTED]" in msgspec.json.decode(found["request"])["messages"][0]["content"]
        assert msgspec.json.decode(found["answer"])["choices"][0]["text"] == "One two three four five."
        assert content_of(server, plain.request_id).status == 404
        told = run(tmp_path, "why", kept.request_id, "--content", toml=None)
        assert (told.exit_code, "One two three" in told.stdout) == (0, True)
        path = f"/api/v1/requests/{kept.request_id}/content"
        assert server.ask(path, method="DELETE", key=MASTER).status == 204
        assert content_of(server, kept.request_id).status == 404
        assert server.ask(path, method="DELETE", key=MASTER).status == 404
        wrong = chat(server, "hi", headers={"x-undercroft-content": "perhaps"})
        assert (wrong.status, wrong.error["param"]) == (400, "x-undercroft-content")


def test_the_operator_keeps_all_but_what_callers_will_not_have_kept(tmp_path: Path) -> None:
    with serving(tmp_path, toml=ALWAYS, extra=EXTRA) as server:
        kept = chat(server, "x" * 1000)
        withheld = chat(server, "not this one", headers={"x-undercroft-content": "none"})
        until(lambda: content_of(server, kept.request_id).status == 200)
        assert len(content_of(server, kept.request_id).json["request"]) == 200
        assert content_of(server, withheld.request_id).status == 404
        last = chat(server, "just before the end")
        server.stop()
    told = run(tmp_path, "why", last.request_id, "--content", "--json", toml=None)
    assert "just before the end" in told.stdout


def test_where_nothing_is_kept_nobody_is_told_that_it_is(tmp_path: Path) -> None:
    with serving(tmp_path, toml=NEVER, extra=EXTRA) as server:
        asked = chat(server, "keep", headers=KEEP)
        assert asked.status == 200
        assert "x-undercroft-content" not in asked.headers
        server.stop()
    assert run(tmp_path, "why", asked.request_id, "--content", toml=None).exit_code == 1


def usage(folder: Path, by: str) -> dict[str, int]:
    told = run(folder, "usage", "--by", by, "--json", toml=None)
    return {group[by]: group["calls"] for group in msgspec.json.decode(told.stdout)["groups"]}


def test_usage_is_told_by_the_tags_that_callers_set(tmp_path: Path) -> None:
    asked: Sequence[tuple[dict[str, str], dict[str, Any]]] = [
        ({"x-undercroft-usage-tags": "project=apollo, feature=search"}, {}),
        ({"x-undercroft-usage-tags": "project=apollo"}, {}),
        ({}, {"metadata": {"project": "gemini", "feature": "not named by the operator"}}),
        ({}, {}),
    ]
    with serving(tmp_path, toml=ALWAYS, extra=EXTRA) as server:
        for headers, fields in asked:
            assert chat(server, "hi", headers=headers, **fields).status == 200
        wrong = chat(server, "hi", headers={"x-undercroft-usage-tags": "apollo"})
        assert (wrong.status, wrong.error["param"]) == (400, "x-undercroft-usage-tags")
        server.stop()
    by_project = usage(tmp_path, "tag:project")
    assert {name: by_project[name] for name in ("apollo", "gemini")} == {"apollo": 2, "gemini": 1}
    assert usage(tmp_path, "tag:feature")["search"] == 1
    assert "not named by the operator" not in usage(tmp_path, "tag:feature")
