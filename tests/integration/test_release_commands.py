"""The commands around releases beside a running server: replay, cases from feedback, files in git."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.background import upstream_in_background
from tests.support.http import Answer
from tests.support.release_server import echo, manage, promoted, repeat, toml_of
from tests.support.server import Finished, Server, run, serving, until
from tests.support.upstream import Upstream

QUESTIONS = ("What is the capital of France?", "How far is the moon?", "Who wrote Faust?")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as upstream:
        upstream.answers |= {"old": repeat, "new": echo}
        yield upstream


@pytest.fixture
def server(tmp_path: Path, upstream: Upstream) -> Iterator[Server]:
    with serving(tmp_path, toml=toml_of(upstream, "old", "new")) as running:
        yield running


def command(server: Server, *arguments: str) -> Finished:
    return run(server.folder, *arguments, within_s=120)


def told(done: Finished) -> Any:
    assert done.exit_code in (0, 1), done.stderr
    return msgspec.json.decode(done.stdout)


def release(server: Server, target: str) -> str:
    manage(server, "/versions/model/support", {"content": {"target": target}, "labels": [target]})
    return str(manage(server, "/releases", {"alias": "support", "model": f"support@{target}"})["id"])


def test_stored_requests_are_replayed_against_a_candidate_and_nobody_gets_to_see_it(server: Server) -> None:
    old, new = release(server, "old"), release(server, "new")
    promoted(server, old)
    for question in QUESTIONS:
        assert server.chat(question, model="support", store=True).status == 200
    server.chat("This is kept by nobody.", model="support")
    until(lambda: len(server.rows()) == len(QUESTIONS) + 1)

    done = command(server, "eval", "replay", f"support@{new}", "--against", f"support@{old}", "--limit", "10", "--json")

    found = told(done)
    stable, candidate = found["summaries"]
    assert (stable["trials"], stable["passed"]) == (3, 3), "it still says what it said"
    assert candidate["trials"] == 3
    assert found["comparison"]["told"]
    assert stable["spent_nano"] + candidate["spent_nano"] > 0
    asked = [row for row in server.rows() if row.endpoint == "evaluation" and row.release]
    assert {row.release for row in asked} == {old, new}
    assert sum(row.cost_nano for row in asked) == stable["spent_nano"] + candidate["spent_nano"]
    kept = server.ask("/v1/chat/completions?limit=50").json["data"]
    assert len(kept) == len(QUESTIONS), "a replay is stored nowhere among the answers of users"
    again = command(server, "eval", "replay", f"support@{new}", "--limit", "3")
    assert ", 0 USD spent" in again.stdout, "what was answered before is not asked again"
    capped = command(server, "eval", "replay", f"support@{new}", "--limit", "3", "--no-cache", "--max-cost", "0.000004")
    assert "left out: the cost cap was reached" in capped.stderr
    assert ", 0.000003 USD spent" in capped.stdout


def test_feedback_becomes_cases_that_can_be_run(server: Server) -> None:
    promoted(server, release(server, "old"))
    for score, question in ((0.0, QUESTIONS[0]), (1.0, QUESTIONS[1])):
        answer = server.chat(question, model="support", store=True)
        named = answer.json["id"] if score else answer.request_id  # the one is the provider's, the other ours
        said = server.ask("/api/v1/feedback", json={"response_id": named, "score": score, "label": "tone"})
        assert said.status == 201, said
        assert said.json["request_id"] == answer.request_id
    unstored = server.chat("hi", model="support").json["id"]
    refused = server.ask("/api/v1/feedback", json={"response_id": unstored, "score": 1})
    assert (refused.status, refused.error["code"]) == (404, "response_not_found")

    assert "1 cases" in command(server, "eval", "cases", "--below", "0.5", "--out", "bad.jsonl").stdout
    (bad,) = map(msgspec.json.decode, (server.folder / "bad.jsonl").read_bytes().splitlines())
    assert bad["messages"] == [{"role": "user", "content": QUESTIONS[0]}]
    assert (bad["tags"], bad["checks"]) == (["user", "tone"], [])
    assert "2 cases" in command(server, "eval", "cases", "--out", "all.jsonl").stdout
    found = told(command(server, "eval", "run", "all.jsonl", "--model", "support", "--json"))
    assert (found["summaries"][0]["trials"], found["summaries"][0]["passed"]) == (2, 2)


def test_feedback_on_responses_becomes_cases_with_the_conversation_before_them(server: Server) -> None:
    promoted(server, release(server, "old"))

    def ask(text: str, **fields: object) -> Answer:
        answer = server.ask("/v1/responses", json={"model": "support", "input": text, **fields})
        assert answer.status == 200, answer
        return answer

    first = ask(QUESTIONS[0], instructions="Be kind.")
    second = ask(QUESTIONS[1], previous_response_id=first.json["id"])
    unkept = ask(QUESTIONS[2], store=False)
    for named, score in ((first.request_id, 0.0), (second.json["id"], 1.0), (unkept.json["id"], 0.0)):
        said = server.ask("/api/v1/feedback", json={"response_id": named, "score": score})
        assert said.status == 201, said

    bad, good = told(command(server, "eval", "cases", "--json"))
    assert bad["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": QUESTIONS[0]},
    ]
    heard = first.json["output"][0]["content"][0]["text"]
    assert good["messages"] == [
        {"role": "user", "content": QUESTIONS[0]},
        {"role": "assistant", "content": heard},
        {"role": "user", "content": QUESTIONS[1]},
    ]
    assert good["checks"] == [{"similar": {"to": second.json["output"][0]["content"][0]["text"], "at_least": 0.8}}]
    assert "2 cases" in command(server, "eval", "cases", "--out", "all.jsonl").stdout
    found = told(command(server, "eval", "run", "all.jsonl", "--model", "support", "--json"))
    assert found["summaries"][0]["trials"] == 2


def test_files_and_database_follow_each_other_and_a_merge_is_left_to_people(server: Server) -> None:
    folder = server.folder / "undercroft.d"
    prompt = folder / "prompts" / "greeting.yaml"
    prompt.parent.mkdir(parents=True)
    prompt.write_text("labels: [production]\nmessages:\n- role: system\n  content: Be kind.\n")
    guard = folder / "guardrails" / "usual.json"
    guard.parent.mkdir()
    guard.write_text('{"input": [{"check": "pii", "action": "mask"}]}')

    def stored() -> str:
        return str(server.ask("/api/v1/prompts").json["data"][0]["content"]["messages"][0]["content"])

    pushed = told(command(server, "prompts", "sync", "--json"))
    assert {(each["name"], each["change"]) for each in pushed} == {
        ("greeting", "file -> database"),
        ("usual", "file -> database"),
    }
    assert stored() == "Be kind."
    content = {"messages": [{"role": "system", "content": "Be exact."}]}
    manage(server, "/prompts", {"name": "greeting", "content": content, "labels": ["production"]})
    command(server, "prompts", "sync")
    assert "Be exact." in prompt.read_text()
    assert "production" in prompt.read_text()

    prompt.write_text(prompt.read_text().replace("exact", "loud"))
    manage(server, "/prompts", {"name": "greeting", "content": {"messages": [{"role": "system", "content": "Hush."}]}})
    refused = command(server, "prompts", "sync")
    assert refused.exit_code != 0
    assert "greeting.yaml" in refused.stderr
    assert stored() == "Hush."
    guard.write_text('{"input": [{"check": "terms"}]}')
    prompt.unlink()
    wrong = command(server, "prompts", "sync")
    assert wrong.exit_code == 2
    assert "usual.json" in wrong.stderr
    assert "needs terms" in wrong.stderr


def test_who_moved_what_by_command_or_over_http_stands_in_the_audit_log(server: Server) -> None:
    old, new = release(server, "old"), release(server, "new")
    asked = server.ask(f"/api/v1/releases/{old}/promote", json={"reason": "the first"})
    assert command(server, "releases", "start", new, "--steps", "10", "--reason", "to see").exit_code == 0
    assert command(server, "releases", "rollback", "support").exit_code == 0

    done = command(server, "audit", "list", "--action", "release.", "--json")
    entries = msgspec.json.decode(done.stdout)
    moves = [each for each in entries if each["action"] != "release.create"][::-1]
    assert [(each["action"], each["subject"]) for each in moves] == [
        ("release.promoted", old),
        ("release.started", new),
        ("release.rolled_back", new),
    ]
    assert moves[0]["address"] == "127.0.0.1"
    assert "the first" in moves[0]["details"]
    assert moves[1]["actor"].startswith("command line")
    assert asked.status == 200
    assert command(server, "audit", "verify").exit_code == 0
    counted = {f'ai_release_moves_total{{move="{move}"}} 1' for move in ("promoted", "started", "rolled_back")}
    until(lambda: counted <= set(server.ask("/metrics").body.decode().splitlines()))  # the server has made one of them


def test_a_version_is_asked_for_behind_an_at_sign(server: Server) -> None:
    old = release(server, "old")
    promoted(server, old)
    new = release(server, "new")
    manage(server, "/versions/model/support/labels/staging", {"version": "new"})
    manage(server, f"/releases/{new}/rollout", {"strategy": "shadow", "bake_s": 600})

    for reference in ("staging", "latest", "candidate", new):
        answer = server.chat("hi", model=f"support@{reference}")
        assert answer.json["choices"][0]["message"]["content"] == "new hi"
        wanted = new if reference in ("candidate", new) else "support@"
        assert answer.headers["x-undercroft-release"].startswith(wanted)
    assert server.chat("hi", model="support").headers["x-undercroft-release"] == old
    assert server.chat("hi", model="support@nothing").status == 404
