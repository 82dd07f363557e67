"""Releases on a real server: who is answered by what while releases are promoted, rolled out and rolled back."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.background import upstream_in_background
from tests.support.server import Server, serving, until
from tests.support.upstream import Request, Step, Upstream, error_response, response

GOING_BACK_S = 5.0


def echo(request: Request) -> Iterable[Step]:
    """Says which model was asked, and under which prompt."""
    text = f"{request.model} {request.json['messages'][0]['content']}"
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return [response(msgspec.json.encode(body).decode())]


def failing(request: Request) -> Iterable[Step]:
    return [error_response("500 Internal Server Error", "it broke")]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as upstream:
        upstream.answers |= {"old": echo, "new": echo, "broken": failing}
        yield upstream


@pytest.fixture
def toml(upstream: Upstream) -> str:
    deployment = f'[[models.deployments]]\nprovider = "openai_compatible"\nbase_url = "{upstream.base_url}"\n'
    price = 'price = { input = "1", output = "2" }\n'
    names = ("old", "new", "broken")
    models = "".join(f'[[models]]\nname = "{name}"\ntries = 1\n{deployment}{price}' for name in names)
    return models + "[releases]\nleast_calls = 20\n"


def manage(server: Server, path: str, body: object) -> Any:
    answer = server.ask(f"/api/v1{path}", json=body)
    assert answer.status in (200, 201), answer
    return answer.json


def release(server: Server, target: str) -> str:
    """A release of `support` whose model and prompt belong together."""
    content = {"content": {"target": target}}
    model = manage(server, "/versions/model/support", content)
    prompt = manage(
        server,
        "/versions/prompt/support",
        {"content": {"messages": [{"role": "system", "content": f"prompt {target}"}]}},
    )
    pins = {"alias": "support", "model": f"support@{model['digest']}", "prompt": f"support@{prompt['digest']}"}
    return str(manage(server, "/releases", pins)["id"])


@dataclass
class Load:
    """Callers that ask without a pause, each user one after the other."""

    server: Server
    users: int = 6
    stop: threading.Event = field(default_factory=threading.Event)
    seen: dict[str, list[tuple[float, int, str, str]]] = field(default_factory=dict)
    """Of each user: when, status, release and text of every answer."""

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._ask, args=(f"user {number}",)) for number in range(self.users)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, user: str) -> None:
        answers = self.seen.setdefault(user, [])
        while not self.stop.is_set():
            answer = self.server.chat("hi", model="support", user=user)
            text = answer.json["choices"][0]["message"]["content"] if answer.status == 200 else ""
            answers.append((time.monotonic(), answer.status, answer.headers.get("x-undercroft-release", ""), text))

    def everything(self) -> list[tuple[float, int, str, str]]:
        return [answer for answers in self.seen.values() for answer in answers]

    def only(self, wanted: str, *, since: float) -> bool:
        """Whether every user has had an answer since then, and the latest is of this release."""
        latest = [answers[-1] for answers in self.seen.values() if answers]
        return len(latest) == self.users and all(at > since and of == wanted for at, _, of, _ in latest)


def test_promotion_and_rollback_under_load_fail_nobody_and_mix_nothing(tmp_path: Path, toml: str) -> None:
    with serving(tmp_path, "--workers", "2", toml=toml) as server:
        old, new = release(server, "old"), release(server, "new")
        manage(server, f"/releases/{old}/promote", {})
        until(lambda: all(server.chat("hi", model="support").status == 200 for _ in range(8)), within_s=10)
        with Load(server).running() as load:
            until(lambda: load.only(old, since=0))
            plan = {"strategy": "canary", "steps": [0.5], "bake_s": 600}
            manage(server, f"/releases/{new}/rollout", plan)
            until(lambda: len({of for _, _, of, _ in load.everything()}) == 2)
            time.sleep(3)  # both processes have read it by now
            mixed = time.monotonic()
            until(lambda: all(answers[-1][0] > mixed + 1 for answers in load.seen.values()))
            settled = time.monotonic()
            manage(server, "/aliases/support/rollback", {"reason": "a drill"})
            back = time.monotonic()
            until(lambda: load.only(old, since=back), within_s=GOING_BACK_S)
            manage(server, f"/releases/{new}/promote", {})
            promoted = time.monotonic()
            until(lambda: load.only(new, since=promoted), within_s=GOING_BACK_S)
            manage(server, "/aliases/support/rollback", {})
            again = time.monotonic()
            until(lambda: load.only(old, since=again), within_s=GOING_BACK_S)

        answers = load.everything()
        assert [answer for answer in answers if answer[1] != 200] == []
        assert {(of, text) for _, _, of, text in answers} == {(old, "old prompt old"), (new, "new prompt new")}
        for user, of_user in load.seen.items():
            during = {of for at, _, of, _ in of_user if mixed < at < settled}
            assert len(during) == 1, f"{user} has seen {during} during the canary"
        print(f"\n{len(answers)} answers, none failed, none mixed")


def test_a_failing_candidate_is_rolled_back_by_itself_in_every_process(tmp_path: Path, toml: str) -> None:
    with serving(tmp_path, "--workers", "2", toml=toml) as server:
        good, bad = release(server, "old"), release(server, "broken")
        manage(server, f"/releases/{good}/promote", {})
        until(lambda: all(server.chat("hi", model="support").status == 200 for _ in range(8)), within_s=10)
        for number in range(60):  # a past to compare with
            server.chat("hi", model="support", user=str(number))
        with Load(server, users=12).running() as load:
            time.sleep(1.5)  # what was booked is in the database
            manage(server, f"/releases/{bad}/rollout", {"steps": [0.5], "bake_s": 600})
            until(lambda: status(server)["rollout"]["state"] == "rolled_back", within_s=60)
            back = time.monotonic()
            until(lambda: load.only(good, since=back), within_s=GOING_BACK_S)

        found = status(server)
        assert found["rollout"]["reason"].startswith("errors: ")
        assert [move["move"] for move in found["moves"]] == ["rolled_back", "started", "promoted"]
        assert found["moves"][0]["evidence"]["counts"]["candidate_bad"] > 0
        metrics = server.ask("/metrics").body.decode()
        assert 'ai_release_moves_total{move="rolled_back"} 1' in metrics
        affected = sum(any(of == bad for _, _, of, _ in answers) for answers in load.seen.values())
        assert 0 < affected < load.users
        print(f"\n{affected} of {load.users} users were affected")


def status(server: Server) -> Any:
    return server.ask("/api/v1/aliases/support").json


def test_ledger_log_and_header_name_the_release_and_feedback_finds_it(tmp_path: Path, toml: str) -> None:
    with serving(tmp_path, toml=toml) as server:
        only = release(server, "old")
        manage(server, f"/releases/{only}/promote", {})

        answer = server.chat("hi", model="support", store=True)
        assert answer.headers["x-undercroft-release"] == only
        said = server.ask(
            "/api/v1/feedback", json={"response_id": answer.request_id, "score": 0, "comment": "not funny"}
        )
        assert said.status == 201, said
        assert said.json["request_id"] == answer.request_id
        listed = server.ask("/api/v1/feedback?limit=5").json["data"]
        assert [each["comment"] for each in listed] == ["not funny"]
        for body in ({"response_id": answer.request_id}, {"response_id": "x", "score": 1}, {"score": 1}):
            assert server.ask("/api/v1/feedback", json=body).status in (400, 404)

        until(lambda: any(row.release == only for row in server.rows()))
        until(lambda: any(event.get("release") == only for event in server.events))
