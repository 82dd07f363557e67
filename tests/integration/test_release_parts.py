"""Everything that a release pins is put on calls: guardrails and retrieval as well, in every format of request."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.background import upstream_in_background
from tests.support.release_server import GOING_BACK_S, Load, manage, promoted, repeat, toml_of
from tests.support.server import Server, run, serving, until
from tests.support.upstream import Upstream

QUESTION = "How is the machine reset? Answer ann@example.com"
MANUALS = {"old_manual": "A machine is reset with the lever.", "new_manual": "A machine is reset with the button."}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as upstream:
        upstream.answers |= {"old": repeat, "new": repeat}
        yield upstream


@pytest.fixture
def toml(upstream: Upstream) -> str:
    return toml_of(upstream, "old", "new", "embedder")


def fill(folder: Path, toml: str) -> None:
    """Two collections with a passage each; its vector is what the provider's embeddings make of it."""
    for name, text in MANUALS.items():
        vector = [float(text.lower().count(letter)) for letter in "abcdefghijklmnop"]
        point = {"id": "1", "text": text, "vector": vector, "metadata": {"lang": "en"}}
        (folder / "points.jsonl").write_bytes(msgspec.json.encode(point) + b"\n")
        for command in (("create", name, "--dim", "16"), ("import", name, "points.jsonl")):
            done = run(folder, "vectors", *command, toml=toml)
            assert done.exit_code == 0, done.stderr


def version(server: Server, kind: str, content: dict[str, Any]) -> str:
    return f"support@{manage(server, f'/versions/{kind}/support', {'content': content})['digest']}"


def release(server: Server, target: str, *, retrieval: dict[str, Any], guardrail: dict[str, Any]) -> str:
    pins = {
        "alias": "support",
        "model": version(server, "model", {"target": target}),
        "retrieval": version(server, "retrieval", retrieval),
        "guardrail": version(server, "guardrail", guardrail),
    }
    return str(manage(server, "/releases", pins)["id"])


def two_releases(server: Server) -> tuple[str, str]:
    """One reads the old manual by words, and tells the model no addresses; the other reads the new one by meaning, and
    speaks of no buttons."""
    old = release(
        server,
        "old",
        retrieval={"collection": "old_manual", "mode": "words", "template": "Read: {{passages}}"},
        guardrail={"input": [{"check": "pii", "action": "mask"}]},
    )
    english = {"type": "eq", "key": "lang", "value": "en"}
    meaning = {"collection": "new_manual", "embedding_model": "embedder", "role": "system", "filter": english}
    new = release(
        server,
        "new",
        retrieval={**meaning, "template": "Known: {{passages}}"},
        guardrail={"output": [{"check": "terms", "action": "mask", "name": "secret", "terms": ["button"]}]},
    )
    return old, new


OLD_SAYS = f"old | user: Read: [1] {MANUALS['old_manual']}\n\nHow is the machine reset? Answer [email]"
NEW_SAYS = f"new | system: Known: [1] A machine is reset with the [term]. | user: {QUESTION}"


def test_two_releases_read_and_guard_each_in_its_own_way_and_are_switched_under_load_unmixed(
    tmp_path: Path, toml: str
) -> None:
    fill(tmp_path, toml)
    with serving(tmp_path, "--workers", "2", toml=toml) as server:
        old, new = two_releases(server)
        promoted(server, old)
        with Load(server, users=4, text=QUESTION, pause_s=0.01).running() as load:
            until(lambda: load.only(old, since=0))
            for wanted in (new, old, new):
                manage(server, f"/releases/{wanted}/promote", {})
                moved = time.monotonic()
                until(lambda wanted=wanted, moved=moved: load.only(wanted, since=moved), within_s=GOING_BACK_S)  # type: ignore[misc]

        answers = load.everything()
        assert [answer for answer in answers if answer[1] != 200] == []
        assert {(of, text) for _, _, of, text in answers} == {(old, OLD_SAYS), (new, NEW_SAYS)}
        print(f"\n{len(answers)} answers of two releases, none failed, none mixed")


def test_a_key_for_the_alias_alone_may_have_it_read_and_the_search_is_booked_for_the_release(
    tmp_path: Path, toml: str
) -> None:
    fill(tmp_path, toml)
    with serving(tmp_path, toml=toml) as server:
        _, new = two_releases(server)
        promoted(server, new)
        made = run(tmp_path, "keys", "create", "--model", "support", "--json")
        key = str(msgspec.json.decode(made.stdout)["key"])
        until(lambda: server.chat(QUESTION, model="support", key=key).status == 200)

        answer = server.chat(QUESTION, model="support", key=key)
        assert answer.headers["x-undercroft-release"] == new
        assert answer.headers["x-undercroft-guard"] == "secret:term"
        assert server.chat("hi", model="new", key=key).status == 403
        until(lambda: any(row.id == answer.request_id for row in server.rows()))
        by_endpoint = {row.endpoint: row for row in server.rows() if row.release == new}
        assert set(by_endpoint) == {"/v1/chat/completions", "retrieval"}
        assert by_endpoint["retrieval"].model == "embedder"


@pytest.mark.parametrize("mode", ["vector", "hybrid", "words"])
def test_a_vector_store_is_read_by_the_model_that_filled_it(tmp_path: Path, toml: str, mode: str) -> None:
    with serving(tmp_path, toml=toml + '[vectors]\nembedding_model = "embedder"\n') as server:
        part = b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        text = MANUALS["old_manual"].encode()
        body = (
            part % (b"purpose", b"", b"assistants") + part % (b"file", b'; filename="manual.txt"', text) + b"--x--\r\n"
        )
        headers = {"content-type": "multipart/form-data; boundary=x"}
        file = server.ask("/v1/files", method="POST", body=body, headers=headers)
        assert file.status == 200, file
        store = server.ask("/v1/vector_stores", json={"name": "manuals", "file_ids": [file.json["id"]]}).json["id"]
        until(lambda: server.ask(f"/v1/vector_stores/{store}").json["file_counts"]["completed"] == 1, within_s=60)
        reading = {"collection": store, "mode": mode, "template": "Read: {{passages}}"}
        promoted(server, release(server, "old", retrieval=reading, guardrail={}))

        answer = server.chat("How is the machine reset?", model="support")
        said = answer.json["choices"][0]["message"]["content"]
        assert said == f"old | user: Read: [1] manual.txt:\n{MANUALS['old_manual']}\n\nHow is the machine reset?"
        other = release(server, "old", retrieval={**reading, "embedding_model": "another"}, guardrail={})
        refused = server.chat("How?", model=f"support@{other}")
        assert refused.error["code"] == "embedding_model_differs", refused


def test_what_a_release_cannot_read_is_an_error_that_names_it(tmp_path: Path, toml: str) -> None:
    with serving(tmp_path, toml=toml) as server:
        only = release(server, "old", retrieval={"collection": "gone", "mode": "words"}, guardrail={})
        promoted(server, only)

        answer = server.chat("hi", model="support")
        assert answer.status == 404, answer
        assert "gone" in answer.error["message"]
        assert answer.headers["x-undercroft-release"] == only
        text = server.ask("/v1/completions", json={"model": "support", "prompt": "Once"})
        assert (text.status, text.error["code"]) == (400, "unsupported_operation")
        for kind, content in (
            ("guardrail", {"input": [{"check": "terms"}]}),
            ("retrieval", {"collection": "x", "filter": {"type": "nonsense"}}),
            ("retrieval", {"collection": "x", "template": "no place"}),
        ):
            refused = server.ask(f"/api/v1/versions/{kind}/support", json={"content": content})
            assert refused.status == 400, refused


PROMPT = {"name": "greeting", "version": "production", "variables": {"who": "Ann"}}
BEGINS = "old | system: You serve Ann. | user: hi"


@pytest.mark.parametrize("model", ["old", "support"])
def test_a_stored_prompt_and_an_alias_can_be_asked_for_in_every_format(tmp_path: Path, toml: str, model: str) -> None:
    with serving(tmp_path, toml=toml) as server:
        content = {
            "messages": [{"role": "system", "content": "You serve {{who}}."}],
            "variables": {"who": {"type": "string"}},
        }
        manage(server, "/prompts", {"name": "greeting", "content": content, "labels": ["production"]})
        pins = {"alias": "support", "model": version(server, "model", {"target": "old"})}
        only = str(manage(server, "/releases", pins)["id"])
        promoted(server, only)
        asked: dict[str, Any] = {"model": model, "prompt": PROMPT}

        chat = server.ask("/v1/chat/completions", json={**asked, "messages": [{"role": "user", "content": "hi"}]})
        assert chat.json["choices"][0]["message"]["content"] == BEGINS
        response = server.ask("/v1/responses", json={**asked, "input": "hi"})
        assert response.json["output"][0]["content"][0]["text"] == BEGINS
        assert response.json["prompt"]["id"] == "greeting"
        message = server.ask(
            "/v1/messages", json={**asked, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        )
        assert message.json["content"][0]["text"] == BEGINS
        for answer in (chat, response, message):
            assert answer.headers["x-undercroft-release"].startswith(only if model == "support" else "greeting@")
        counted = server.ask("/v1/responses/input_tokens", json={"model": model, "input": "hi"})
        assert counted.json["input_tokens"] > 0
        job = server.ask("/api/v1/jobs", json={"kind": "chat", "input": {**asked, "messages": []}})
        assert job.status == 202, job
        unknown = server.ask("/v1/responses", json={"model": model, "input": "hi", "prompt": {"name": "nobody"}})
        assert unknown.status == 404, unknown


def test_a_response_in_the_background_is_made_by_the_release_of_its_alias(tmp_path: Path, toml: str) -> None:
    with serving(tmp_path, toml=toml) as server:
        pins = {"alias": "support", "model": version(server, "model", {"target": "new"})}
        promoted(server, str(manage(server, "/releases", pins)["id"]))

        accepted = server.ask("/v1/responses", json={"model": "support", "input": "hi", "background": True})
        assert accepted.status == 200, accepted
        place = f"/v1/responses/{accepted.json['id']}"
        until(lambda: server.ask(place).json["status"] == "completed")
        assert server.ask(place).json["output"][0]["content"][0]["text"] == "new | user: hi"
