"""The fault table where the provider speaks Anthropic's format: rows 1 to 7, 9 and 10, for callers of either format."""

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

import msgspec
import pytest
from sqlalchemy import Row

from tests.support.anthropic_upstream import (
    STOP,
    TEXT,
    AnthropicUpstream,
    added,
    begun,
    closed,
    ended,
    error_response,
    opened,
    sent,
)
from tests.support.background import upstream_in_background
from tests.support.hostile import HOST
from tests.support.http import Answer
from tests.support.raw import connected
from tests.support.server import Server, serving, until
from tests.support.upstream import STREAM_HEAD, Do, Request, Step, chunk
from tests.support.upstream import Answer as Given

SLACK: Final = 10
FIRST_S, GAP_S = 0.5, 0.6
WORDS: Final = ["one", " two", " three"]
EVENTS: Final = [
    begun(), opened(0, TEXT), *[added(0, "text_delta", text=word) for word in WORDS], closed(0),
    ended("end_turn", len(WORDS)), STOP,
]  # fmt: skip
AFTER_TWO: Final = 4
SAID: Final = [0, 0, 0, 1, 2, 3, 3, 3]
"""Words in the first so many events."""
ENDS: Final[dict[str, list[Step]]] = {
    "cut": [chunk(b"")], "close": [Do.CLOSE], "reset": [0.02, Do.RESET], "stall": [Do.HANG],
    "garbled": [chunk(b'event: content_block_delta\ndata: {"type":"content_bl\n\n'), chunk(b"")],
}  # fmt: skip
FORMATS: Final = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


def broken(end: str, at: int) -> Given:
    steps = [STREAM_HEAD, *map(sent, EVENTS[:at]), *ENDS[end]]
    return lambda request: steps


class Flaky:
    """Fails at first, and then answers; each attempt's moment is kept."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps
        self.moments: list[float] = []

    def __call__(self, request: Request) -> "list[Step]":
        self.moments.append(time.monotonic())
        return list(self._steps) if len(self.moments) == 1 else [STREAM_HEAD, *map(sent, EVENTS), chunk(b"")]


def endless(request: Request) -> Iterator[Step]:
    yield STREAM_HEAD
    yield from map(sent, EVENTS[:2])
    while True:
        yield sent(added(0, "text_delta", text=" word"))
        yield 0.01


def goes_on(request: Request) -> list[Step]:
    """The rest of an answer that is broken off after two words, and nothing to anybody else."""
    last = request.json["messages"][-1]
    if last != {"role": "assistant", "content": "".join(WORDS[:2])}:
        return [error_response("400 Bad Request", "invalid_request_error", f"Not what was said: {last}")]
    rest = [begun(), opened(0, TEXT), added(0, "text_delta", text=WORDS[2]), closed(0), ended("end_turn", 1), STOP]
    return [STREAM_HEAD, *map(sent, rest), chunk(b"")]


def cut_once(request: Request) -> Iterable[Step]:
    is_asked_to_go_on = request.json["messages"][-1]["role"] == "assistant"
    return goes_on(request) if is_asked_to_go_on else broken("cut", AFTER_TWO)(request)


def no_prefill(request: Request) -> list[Step]:
    message = "This model does not support assistant message prefill. The conversation must end with a user message."
    return [error_response("400 Bad Request", "invalid_request_error", message)]


LATE: Final = [(end, at) for end in ENDS for at in range(3, len(EVENTS))]
EARLY: Final = [(end, at) for end in ENDS for at in range(3)]


@pytest.fixture(scope="module")
def flaky() -> dict[str, Flaky]:
    limited = partial(error_response, "429 Too Many Requests", "rate_limit_error", "Slow down.")
    return {
        "reset-once": Flaky(Do.RESET),
        "overloaded-once": Flaky(error_response("529 Overloaded", "overloaded_error", "Overloaded")),
        "error-event-once": Flaky(
            STREAM_HEAD, *map(sent, EVENTS[:1]),
            sent({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}), chunk(b""),
        ),
        "limited-once": Flaky(limited(fields="retry-after: 1\r\n")),
        "limited-in-ms": Flaky(limited(fields="retry-after-ms: 1000\r\n")),
    }  # fmt: skip


@pytest.fixture(scope="module")
def upstream(flaky: dict[str, Flaky]) -> Iterator[AnthropicUpstream]:
    running = AnthropicUpstream()
    running.answers = {f"{end}-{at}": broken(end, at) for end, at in [*LATE, *EARLY]}
    running.answers |= {**flaky, "endless": endless, "goes-on": goes_on, "no-prefill": no_prefill}
    stalled = broken("stall", AFTER_TWO)
    running.answers |= {"cut-once": cut_once, "stall-and-gone-on": stalled, "stall-and-refused": stalled}
    with upstream_in_background(running):
        yield running


@pytest.fixture(scope="module")
def server(upstream: AnthropicUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    quick = f"tries = 1\nbetween_chunks_timeout_s = {GAP_S}"
    backed = f'tries = 1\nfallbacks = ["endless-no-more"]\nfirst_token_timeout_s = {FIRST_S}'
    models = dict.fromkeys([f"{end}-{at}" for end, at in LATE], quick)
    models |= dict.fromkeys([f"{end}-{at}" for end, at in EARLY], backed)
    models |= dict.fromkeys(["silent", "reset-before-head", "broken", "web-page"], backed)
    models |= {"reset-once": "", "overloaded-once": "", "error-event-once": "", "limited-once": "", "limited-in-ms": ""}
    models |= {"endless": "", "goes-on": "", "no-prefill": ""}
    models["cut-once"] = f'{quick}\non_cut = "continue"'
    models["stall-and-gone-on"] = f'{quick}\non_cut = "continue"\nfallbacks = ["goes-on"]'
    models["stall-and-refused"] = f'{quick}\non_cut = "continue"\nfallbacks = ["no-prefill"]'
    toml = "".join(
        f"""
[[models]]
name = "{name}"
breaker = {{ failures = 0 }}
{lines}
[[models.deployments]]
provider = "anthropic"
base_url = "{upstream.base_url}"
api_key = "env:KEY_OF_ANTHROPIC"
price = {{ input = "1", output = "2" }}
"""
        for name, lines in models.items()
    )
    toml += (
        '[[models]]\nname = "endless-no-more"\n[[models.deployments]]\nprovider = "scripted"\nscript = "The backup."\n'
    )
    folder, extra = tmp_path_factory.mktemp("anthropic"), {"KEY_OF_ANTHROPIC": "sk-ant-a-key"}
    with serving(folder, toml=toml, extra=extra) as running:
        until(lambda: running.ask("/health").json["checks"]["database"] == "ok", within_s=120)
        yield running


def ask(server: Server, model: str, caller: str) -> Answer:
    body = {"model": model, "max_tokens": 64, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    return server.ask(FORMATS[caller], json=body)


def words_of(answer: Answer) -> str:
    events = [msgspec.json.decode(line[6:]) for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    said = [event.get("delta", {}).get("text", "") for event in events]
    return "".join(said) + "".join(
        choice["delta"].get("content") or "" for event in events for choice in event.get("choices", ())
    )


def is_told_broken(answer: Answer) -> bool:
    """An error is the last thing, and nothing says that the answer is whole."""
    last = answer.body.rstrip().rsplit(b"\n\n", 1)[-1]
    return b'"error"' in last and b"message_stop" not in answer.body and b"[DONE]" not in answer.body


@pytest.mark.parametrize("caller", FORMATS)
@pytest.mark.parametrize("end", ENDS)
def test_row_3_and_5_a_stream_that_breaks_after_any_event_ends_in_an_error(
    server: Server, end: str, caller: str
) -> None:
    """Rows 3, 5 and 9: cut, closed, reset, stalled or garbled after each event; the part is billed."""
    ways = [at for each, at in LATE if each == end][:: 2 if end == "stall" else 1]
    answers = [ask(server, f"{end}-{at}", caller) for at in ways]
    for at, answer in zip(ways, answers, strict=True):
        assert answer.status == 200
        assert words_of(answer) == "".join(WORDS[: SAID[at]])
        assert is_told_broken(answer), answer.body[-300:]
    row = row_of(server, answers[0])
    assert row.status in (502, 504)
    assert (row.input_tokens, row.output_tokens > 0) == (7, True)
    assert row.cost_nano > 0


@pytest.mark.parametrize("caller", FORMATS)
@pytest.mark.parametrize("model", ["cut-once", "stall-and-gone-on"])
def test_row_3_a_cut_answer_is_gone_on_with_where_the_operator_allows_it(
    server: Server, model: str, caller: str
) -> None:
    """Row 3, `on_cut = "continue"`: what was said goes along as the assistant's last message."""
    answer = ask(server, model, caller)
    assert words_of(answer) == "".join(WORDS)
    assert b'"error"' not in answer.body
    assert (b"message_stop" if caller == "anthropic" else b"[DONE]") in answer.body
    row = row_of(server, answer)
    assert (row.status, row.attempts, row.usage_estimated) == (200, 2, True)


@pytest.mark.parametrize("caller", FORMATS)
def test_row_3_a_target_that_takes_no_prefill_ends_in_the_first_failure(
    server: Server, upstream: AnthropicUpstream, caller: str
) -> None:
    """Row 3: the caller sees the stall that happened, not the refusal of the one that was asked to go on."""
    before = [each.model for each in upstream.requests].count("no-prefill")
    answer = ask(server, "stall-and-refused", caller)
    assert (words_of(answer), is_told_broken(answer)) == ("".join(WORDS[:2]), True)
    assert b"prefill" not in answer.body
    assert [each.model for each in upstream.requests].count("no-prefill") == before + 1
    assert row_of(server, answer).error == "upstream_timeout"


def row_of(server: Server, answer: Answer) -> "Row[Any]":
    until(lambda: any(row.id == answer.request_id for row in server.rows()), within_s=60)
    return next(row for row in server.rows() if row.id == answer.request_id)


@pytest.mark.parametrize("caller", FORMATS)
@pytest.mark.parametrize(
    "model", [*(f"{end}-{at}" for end, at in EARLY), "silent", "reset-before-head", "broken", "web-page"]
)
def test_row_1_2_and_4_what_fails_before_the_first_word_is_seen_by_nobody(
    server: Server, upstream: AnthropicUpstream, model: str, caller: str
) -> None:
    """Rows 1, 2, 4 and 9: the message has begun at most; another answers, and the silent one is asked once."""
    before = len([each for each in upstream.requests if each.model == model])
    began = time.monotonic()
    answer = ask(server, model, caller)
    assert time.monotonic() - began < FIRST_S * SLACK
    assert (words_of(answer), answer.headers["x-undercroft-model"]) == ("The backup.", "endless-no-more")
    asked = len([each for each in upstream.requests if each.model == model]) - before
    assert asked == 1 if "reset" not in model and "close" not in model else asked in (1, 2), "a kept connection may end"


@pytest.mark.parametrize("model", ["reset-once", "overloaded-once", "error-event-once"])
def test_row_1_and_7_what_passes_is_tried_again(server: Server, flaky: dict[str, Flaky], model: str) -> None:
    """Rows 1 and 7, 529 and an error in the first event among them."""
    assert words_of(ask(server, model, "anthropic")) == "".join(WORDS)
    assert len(flaky[model].moments) == 2


@pytest.mark.parametrize("model", ["limited-once", "limited-in-ms"])
def test_row_6_a_wait_that_is_told_is_kept(server: Server, flaky: dict[str, Flaky], model: str) -> None:
    """Row 6."""
    assert words_of(ask(server, model, "anthropic")) == "".join(WORDS)
    first, second = flaky[model].moments
    assert 0.9 <= second - first < SLACK


@pytest.mark.parametrize("caller", FORMATS)
def test_row_10_a_client_that_leaves_closes_the_provider_and_is_booked(
    server: Server, upstream: AnthropicUpstream, caller: str
) -> None:
    """Row 10: the figure is 100 ms."""
    body = msgspec.json.encode(
        {"model": "endless", "max_tokens": 64, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    )
    before = {row.id for row in server.rows()}
    with connected(server.port) as wire:
        request = b"POST %b HTTP/1.1\r\n%b" % (FORMATS[caller].encode(), HOST)
        wire.send(request + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        while wire.received.count(b" word") < 5:
            assert wire.read_some(within_s=20)
    began = time.monotonic()
    until(lambda: upstream.running == 0, every_s=0.002)
    assert time.monotonic() - began < 0.1 * SLACK

    def left() -> "list[Row[Any]]":
        return [row for row in server.rows() if row.id not in before and row.error == "client_closed"]

    until(lambda: len(left()) == 1)
    assert left()[0].status == 499
    assert left()[0].output_tokens >= 5
