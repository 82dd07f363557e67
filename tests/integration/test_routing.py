"""One server before two providers: who answers, who is left alone, and who comes back."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.support.background import upstream_in_background
from tests.support.http import Answer
from tests.support.server import Server, serving, until
from tests.support.upstream import Request, Step, Upstream, error_response, response, well_behaved

SLACK = 10

TOML = """
[[models]]
name = "prioritised"
[[models.deployments]]
model = "primary"
{there}
[[models.deployments]]
model = "backup"
priority = 1
{there}

[[models]]
name = "paused"
[[models.deployments]]
model = "paused-first"
{there}
[[models.deployments]]
model = "paused-second"
priority = 1
{there}

[[models]]
name = "breaking"
breaker = {{ failures = 3, calls = 6, rest_s = 5.0 }}
[[models.deployments]]
model = "breaking"
{there}

[[models]]
name = "able"
[[models.deployments]]
model = "plain"
capabilities = ["chat"]
region = "eu"
context_tokens = 200
{there}
[[models.deployments]]
model = "seeing"
capabilities = ["chat", "images", "tools"]
region = "us"
tags = ["large"]
context_tokens = 2000
priority = 1
{there}

[[models]]
name = "checked"
[[models.deployments]]
model = "checked"
health_check_s = 0.1
{other}
[[models.deployments]]
model = "unchecked"
priority = 1
{there}

[[models]]
name = "sticky"
sticky = "user"
[[models.deployments]]
model = "sticky-a"
{there}
[[models.deployments]]
model = "sticky-b"
{there}
[[models.deployments]]
model = "sticky-c"
{there}

[[models]]
name = "narrow"
[[models.deployments]]
model = "narrow"
max_concurrency = 2
max_waiting = 6
{there}
"""


def slow(request: Request) -> Iterable[Step]:
    yield 0.2
    yield from well_behaved(request)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        running.answers["narrow"] = slow
        yield running


@pytest.fixture(scope="module")
def other() -> Iterator[Upstream]:
    """The provider whose health is checked."""
    with upstream_in_background() as running:
        running.answers["/v1/models"] = lambda _: [response('{"object": "list", "data": []}')]
        yield running


@pytest.fixture(scope="module")
def server(upstream: Upstream, other: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    there, elsewhere = (
        f'provider = "openai_compatible"\nbase_url = "{each.base_url}"\napi_key = "env:FAKE_KEY"'
        for each in (upstream, other)
    )
    toml = TOML.format(there=there, other=elsewhere)
    with serving(tmp_path_factory.mktemp("routing"), toml=toml, extra={"FAKE_KEY": "sk-fake"}) as running:
        until(lambda: running.ask("/health/ready").status == 200)
        running.ask("/api/v1/models")  # the management API is put together when it is first asked
        yield running


def asked(upstream: Upstream, *models: str) -> Counter[str]:
    """How often each of the provider's models has been asked."""
    return Counter(request.model for request in upstream.requests if request.model in models)


def deployment(server: Server, model: str, place: int = 0) -> dict[str, Any]:
    listed: list[dict[str, Any]] = server.ask("/api/v1/models").json["data"]
    (found,) = [each for each in listed if each["name"] == model]
    shown: dict[str, Any] = found["deployments"][place]
    return shown


def told(server: Server, deployment: str) -> list[dict[str, Any]]:
    """What was logged of a deployment's condition."""
    return [
        event
        for event in server.events
        if event.get("deployment") == deployment and event["logger"] == "undercroft.upstream"
    ]


def story(server: Server, answer: Answer) -> str:
    """What `undercroft why` tells of a call, once it is booked."""
    path = f"/api/v1/requests/{answer.headers['x-request-id']}/explanation"
    until(lambda: server.ask(path).status == 200)
    return "\n".join(step["text"] for step in server.ask(path).json["steps"])


def test_the_backup_answers_only_while_the_primary_fails(server: Server, upstream: Upstream) -> None:
    upstream.answers["primary"] = lambda _: [error_response("500 Internal Server Error", "it broke")]
    answer = server.chat(model="prioritised")
    assert answer.status == 200
    told_of = story(server, answer)
    first, second = "prioritised/0", "prioritised/1"
    assert f"Attempt 1: {first} failed with " in told_of
    assert f" (round_robin among 1 of 2; {second} spare)." in told_of
    assert f"Attempt 2: {second} was asked (round_robin among 1 of 2; {first} tried)." in told_of
    assert asked(upstream, "primary", "backup") == {"primary": 1, "backup": 1}
    upstream.answers.pop("primary")
    for _ in range(3):
        assert server.chat(model="prioritised").status == 200
    assert asked(upstream, "primary", "backup") == {"primary": 4, "backup": 1}


def test_a_providers_retry_after_is_kept_and_shown(server: Server, upstream: Upstream) -> None:
    names = ("paused-first", "paused-second")
    upstream.answers["paused-first"] = lambda _: [
        error_response("429 Too Many Requests", "slow down", fields="retry-after: 5\r\n")
    ]
    for _ in range(4):
        assert server.chat(model="paused").status == 200
    assert asked(upstream, *names) == {"paused-first": 1, "paused-second": 4}
    shown = deployment(server, "paused")
    assert (shown["condition"], shown["resting_for"]) == ("resting", "rate_limited")
    assert shown["resting_until"].endswith("Z")
    upstream.answers.pop("paused-first")
    until(lambda: deployment(server, "paused")["condition"] == "ok", within_s=5 * SLACK)
    assert server.chat(model="paused").status == 200
    assert asked(upstream, *names)["paused-first"] == 2
    rested, back = told(server, "paused/0")
    assert (rested["event"], rested["why"], rested["level"]) == ("deployment_rests", "rate_limited", "warning")
    assert back["event"] == "deployment_is_back"


def test_a_model_that_keeps_failing_is_refused_without_being_asked_and_comes_back(
    server: Server, upstream: Upstream
) -> None:
    upstream.answers["breaking"] = lambda _: [error_response("500 Internal Server Error", "it broke")]
    until(lambda: server.chat(model="breaking").json["error"]["code"] == "no_deployment")
    before = asked(upstream, "breaking")["breaking"]
    refused = server.chat(model="breaking")
    assert (refused.status, refused.json["error"]["code"]) == (503, "no_deployment")
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert deployment(server, "breaking")["condition"] == "open"
    assert asked(upstream, "breaking")["breaking"] == before == 3
    assert "with 503 no_deployment" in story(server, refused)
    assert "they failed too often just now, and are left alone for a while" in story(server, refused)
    upstream.answers.pop("breaking")
    until(lambda: server.chat(model="breaking").status == 200, within_s=5 * SLACK)
    assert deployment(server, "breaking")["condition"] == "ok"


def test_a_call_goes_to_who_can_take_it(server: Server, upstream: Upstream) -> None:
    picture = [{"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}}]
    names = ("plain", "seeing")

    def ask(content: Any = "Hello", **more: Any) -> Any:
        headers = more.pop("headers", {})
        body = {"model": "able", "messages": [{"role": "user", "content": content}], **more}
        return server.ask("/v1/chat/completions", json=body, headers=headers)

    assert ask().status == 200
    assert asked(upstream, *names) == {"plain": 1}
    assert "able/1 was asked (round_robin among 1 of 2; able/0 unfit)." in story(server, ask(picture))
    assert ask("x" * 2000).status == 200
    assert ask(headers={"x-undercroft-region": "us"}).status == 200
    assert ask(headers={"x-undercroft-tags": "large"}).status == 200
    assert asked(upstream, *names) == {"plain": 1, "seeing": 4}
    refusals = [
        (ask(logprobs=True), "unsupported_operation", "takes logprobs"),
        (ask(picture, headers={"x-undercroft-region": "eu"}), "unsupported_operation", "in region eu takes images"),
        (ask("x" * 20_000), "context_length_exceeded", "has 2000"),
        (ask(headers={"x-undercroft-region": "mars"}), "invalid_value", "there are eu, us"),
        (ask(headers={"x-undercroft-tags": "small"}), "invalid_value", "there are large"),
    ]
    for answer, code, words in refusals:
        assert (answer.status, answer.json["error"]["code"]) == (400, code)
        assert words in answer.json["error"]["message"]
    assert asked(upstream, *names) == {"plain": 1, "seeing": 4}


def test_a_wish_is_refused_where_nobody_can_keep_it(server: Server) -> None:
    body = {"model": "prioritised", "messages": [{"role": "user", "content": "Hello"}]}
    answer = server.ask("/v1/chat/completions", json=body, headers={"x-undercroft-region": "eu"})
    assert answer.status == 400
    assert answer.json["error"]["param"] == "x-undercroft-region"


def test_a_provider_that_fails_its_checks_is_left_alone_before_a_call_finds_out(
    server: Server, upstream: Upstream, other: Upstream
) -> None:
    assert server.chat(model="checked").status == 200
    healthy = other.answers["/v1/models"]
    other.answers["/v1/models"] = lambda _: [error_response("503 Service Unavailable", "moving house")]
    until(lambda: deployment(server, "checked")["condition"] == "unhealthy", within_s=SLACK)
    before = asked(other, "checked")["checked"]
    assert server.chat(model="checked").status == 200
    assert (asked(other, "checked")["checked"], asked(upstream, "unchecked")["unchecked"]) == (before, 1)
    other.answers["/v1/models"] = healthy
    until(lambda: deployment(server, "checked")["condition"] == "ok", within_s=SLACK)
    assert server.chat(model="checked").status == 200
    assert asked(other, "checked")["checked"] == before + 1
    assert [event["event"] for event in told(server, "checked/0")] == ["deployment_is_unhealthy", "deployment_is_back"]
    assert all(request.headers["authorization"] == "Bearer sk-fake" for request in other.requests)


def test_a_user_stays_with_one_deployment_and_users_are_spread(server: Server, upstream: Upstream) -> None:
    names = ("sticky-a", "sticky-b", "sticky-c")
    homes: dict[str, str] = {}
    for user in (f"user-{number}" for number in range(12)):
        for _ in range(3):
            before = asked(upstream, *names)
            assert server.chat(model="sticky", user=user).status == 200
            (home,) = asked(upstream, *names) - before
            assert homes.setdefault(user, home) == home
    assert len(set(homes.values())) > 1
    assert "was asked (sticky user among 3)." in story(server, server.chat(model="sticky", user="user-0"))


def test_no_more_than_the_limit_are_with_a_provider_and_the_rest_wait(server: Server, upstream: Upstream) -> None:
    statuses: list[int] = []
    most = 0

    def ask() -> None:
        statuses.append(server.chat(model="narrow").status)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    deadline = time.monotonic() + SLACK
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        most = max(most, upstream.running)
        if not seen and (waiting := deployment(server, "narrow")["waiting"]):
            seen.append(waiting)
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    assert most == 2
    assert seen


def test_metrics_show_each_configured_deployment(server: Server) -> None:
    assert server.chat(model="prioritised", stream=True).status == 200
    lines = server.ask("/metrics").body.decode().splitlines()
    at = 'model="prioritised",deployment="prioritised/0"'
    assert f"ai_upstream_active_calls{{{at}}} 0" in lines
    assert f"ai_upstream_waiting_calls{{{at}}} 0" in lines
    assert f'ai_upstream_condition{{{at},condition="ok"}} 1' in lines
    (average,) = [line for line in lines if line.startswith(f"ai_upstream_first_token_average_seconds{{{at}}}")]
    assert 0 < float(average.split()[1]) < SLACK
