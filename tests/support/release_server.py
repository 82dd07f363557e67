"""Releases on a real server: a provider that says what it was asked, and callers without a pause."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from tests.support.server import Server
from tests.support.upstream import Request, Step, Upstream, error_response, response

GOING_BACK_S = 5.0
NUMBERS = count()


def echo(request: Request) -> Iterable[Step]:
    """Says which model was asked, and under which prompt."""
    return _says(f"{request.model} {request.json['messages'][0]['content']}")


def repeat(request: Request) -> Iterable[Step]:
    """Says which model was asked, and everything that it was told."""
    told = [f"{each['role']}: {each['content']}" for each in request.json["messages"]]
    return _says(f"{request.model} | " + " | ".join(told))


def _says(text: str) -> Iterable[Step]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    told = {"id": f"chatcmpl-theirs-{next(NUMBERS)}", "object": "chat.completion", "created": 1, "model": "m"}
    return [response(msgspec.json.encode({**told, "choices": [choice], "usage": usage}).decode())]


def failing(request: Request) -> Iterable[Step]:
    return [error_response("500 Internal Server Error", "it broke")]


def toml_of(upstream: Upstream, *names: str, rest: str = "[releases]\nleast_calls = 20\n") -> str:
    """Models of these names at the provider, which is asked once a call."""
    deployment = f'[[models.deployments]]\nprovider = "openai_compatible"\nbase_url = "{upstream.base_url}"\n'
    price = 'price = { input = "1", output = "2" }\n'
    return "".join(f'[[models]]\nname = "{name}"\ntries = 1\n{deployment}{price}' for name in names) + rest


def manage(server: Server, path: str, body: object) -> Any:
    answer = server.ask(f"/api/v1{path}", json=body)
    while answer.status == 503 and b"opening" in answer.body:  # a worker behind the one that was asked for its health
        time.sleep(0.05)
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
    text: str = "hi"
    pause_s: float = 0.0
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
            answer = self.server.chat(self.text, model="support", user=user)
            text = answer.json["choices"][0]["message"]["content"] if answer.status == 200 else ""
            answers.append((time.monotonic(), answer.status, answer.headers.get("x-undercroft-release", ""), text))
            time.sleep(self.pause_s)

    def everything(self) -> list[tuple[float, int, str, str]]:
        return [answer for answers in self.seen.values() for answer in answers]

    def only(self, wanted: str, *, since: float) -> bool:
        """Whether every user has had an answer since then, and the latest is of this release."""
        latest = [answers[-1] for answers in self.seen.values() if answers]
        return len(latest) == self.users and all(at > since and of == wanted for at, _, of, _ in latest)


def status(server: Server) -> Any:
    return server.ask("/api/v1/aliases/support").json


def promoted(server: Server, release: str) -> None:
    """Puts it in force, and returns when every process answers by it."""
    manage(server, f"/releases/{release}/promote", {})
    time.sleep(2.0)  # what was moved is in force everywhere within that
