"""The fault table, rows 3, 5, 9 and 10: a provider or a client that leaves in the middle of an answer.

Real processes over loopback. A broken stream never ends cleanly, and what was passed on is billed.
"""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Row

from tests.support.background import upstream_in_background
from tests.support.faults import TEXT, WORDS, Faults, answering, configured
from tests.support.hostile import POST
from tests.support.raw import connected
from tests.support.server import Server, until
from tests.support.streams import Told, told
from tests.support.upstream import STREAM_HEAD, Do, Request, Step, Upstream, delta, event

SLACK = 10
GAP_S = 0.6
TOTAL_S = 0.8
PIECES = len(WORDS) + 2
"""Role, words, end; the usage comes after them."""
ENDS = ("cut", "close", "stall", "malformed-at")
QUICK = f"between_chunks_timeout_s = {GAP_S}\ntries = 1"
GOES_ON = f'{QUICK}\non_cut = "continue"\nfallbacks = ["well"]'
BROKEN_WHOLE = {
    "web-page": "upstream_invalid",
    "half-json": "upstream_invalid",
    "wrong-type": "upstream_invalid",
    "other-json": "upstream_invalid",
}
ODD_BUT_WHOLE = ("no-done", "crlf", "cr", "bom-and-no-blanks", "comments")


def name_of(end: str, at: int) -> str:
    return f"{end}-{at}" if end.endswith("-at") else f"{end}-after-{at}"


def endless(request: Request) -> Iterator[Step]:
    """A word every hundredth of a second, without end."""
    yield STREAM_HEAD
    yield event(delta(role="assistant"))
    while True:
        yield event(delta(" word"))
        yield 0.01


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def upstream(faults: Faults) -> Iterator[Upstream]:
    with upstream_in_background() as running:
        running.otherwise = faults.answer
        running.answers = {"endless": endless, "talks-on": endless, "says-nothing": lambda request: [Do.HANG]}
        yield running


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = {"well": "", "no-prefill": "", "endless": "", f"drip-after-{3}": QUICK, "long-line": QUICK}
    models |= dict.fromkeys(["talks-on", "says-nothing"], f"total_timeout_s = {TOTAL_S}")
    models |= {name_of(end, at): QUICK for end in ENDS for at in range(2, PIECES)}
    models |= dict.fromkeys([*BROKEN_WHOLE, *ODD_BUT_WHOLE], "tries = 1")
    size = len(b"".join([event(delta(role="assistant")), *(event(delta(word)) for word in WORDS)])) + 400
    models |= {f"cut-at-byte-{at}": "tries = 1" for at in range(0, size, 37)}
    with answering(tmp_path_factory.mktemp("within"), configured(upstream.base_url, models)) as running:
        yield running


@pytest.fixture(scope="module")
def going_on(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = {"well": "", "no-prefill": ""}
    models |= {name_of(end, at): GOES_ON for end in ENDS for at in range(2, PIECES)}
    models["stall-after-5"] = GOES_ON.replace('"well"', '"no-prefill"')
    with answering(tmp_path_factory.mktemp("going-on"), configured(upstream.base_url, models)) as running:
        yield running


def stream(server: Server, model: str, user: str, **fields: Any) -> Told:
    return told(server.chat(model=model, user=user, stream=True, **fields))


def row_of(server: Server, answer: Told) -> "Row[Any]":
    """The ledger's row of an answer, once it is there."""
    wanted = answer.answer.request_id
    until(lambda: any(row.id == wanted for row in server.rows()), within_s=60)
    return next(row for row in server.rows() if row.id == wanted)


@pytest.mark.parametrize("end", ["cut", "close", "malformed-at"])
def test_row_3_a_stream_that_breaks_after_any_chunk_ends_in_an_error(server: Server, end: str) -> None:
    """Row 3: cut at each chunk; an error frame, no `[DONE]`, no finish reason, and the part is billed."""
    answers = [stream(server, name_of(end, at), "row-3") for at in range(2, PIECES - 1)]
    for number, answer in enumerate(answers, start=1):
        assert answer.is_told_broken, answer
        assert answer.text == "".join(WORDS[:number])
        assert answer.error is not None
        assert answer.error["code"] in ("upstream_unreachable", "upstream_invalid")
    row = row_of(server, answers[-1])
    assert (row.status, row.usage_estimated) == (502, True)
    assert row.output_tokens == -(-len(answers[-1].text) // 4)
    assert row.cost_nano > 0


def test_a_broken_stream_never_ends_cleanly_wherever_it_is_cut(server: Server, upstream: Upstream) -> None:
    """Row 3, at any byte: the client never sees `[DONE]` or a finish reason that the provider had not sent."""
    outcomes = {"error": 0, "told": 0, "whole": 0}
    for model in [name for name in models_of(server) if name.startswith("cut-at-byte-")]:
        answer = stream(server, model, "any-byte")
        assert TEXT.startswith(answer.text)
        if answer.answer.status != 200:
            outcomes["error"] += 1
            assert answer.answer.error["code"] in ("upstream_unreachable", "upstream_invalid")
        elif answer.is_whole:
            outcomes["whole"] += 1
            assert answer.text == TEXT
        else:
            outcomes["told"] += 1
            assert answer.error is not None
            assert not answer.is_done
            assert answer.finish_reasons in ([], ["stop"] if answer.text == TEXT else [])
    print(outcomes)
    assert outcomes["error"] >= 1
    assert outcomes["told"] > 10


def models_of(server: Server) -> list[str]:
    return [model["id"] for model in server.ask("/v1/models").json["data"]]


@pytest.mark.parametrize("end", ["cut", "close", "malformed-at", "stall"])
def test_row_3_where_the_operator_allows_it_another_goes_on_and_nobody_sees_the_seam(
    going_on: Server, end: str
) -> None:
    """Row 3, `on_cut = "continue"`: one text, one role, one id, one end; both parts are billed."""
    step = 4 if end == "stall" else 1
    for at in range(2, PIECES - 1, step):
        answer = stream(going_on, name_of(end, at), "seam", stream_options={"include_usage": True})
        assert (answer.is_whole, answer.text, answer.roles) == (True, TEXT, 1), answer
        assert len(answer.ids) == 1
        assert answer.usage is not None
        assert answer.usage["completion_tokens"] >= len(WORDS) - at + 1
        row = row_of(going_on, answer)
        assert (row.status, row.usage_estimated) == (200, True)
        assert (row.input_tokens, row.output_tokens) == (
            answer.usage["prompt_tokens"],
            answer.usage["completion_tokens"],
        )
        assert row.cost_nano == 1000 * row.input_tokens + 2000 * row.output_tokens


def test_row_3_a_target_that_takes_no_prefill_ends_in_the_first_failure(going_on: Server, faults: Faults) -> None:
    """Row 3: the caller sees the stall that happened, not the refusal of the one that was asked to go on."""
    answer = stream(going_on, "stall-after-5", "refused")
    assert answer.is_told_broken
    assert answer.error is not None
    assert answer.error["code"] == "upstream_timeout"
    assert answer.text == "".join(WORDS[:4])
    assert (faults.asked("stall-after-5", "refused"), faults.asked("no-prefill", "refused")) == (1, 1)


@pytest.mark.parametrize("model", ["stall-after-4", "drip-after-3"])
def test_row_5_a_stall_ends_in_an_error_within_its_limit_and_frees_the_slot(
    server: Server, upstream: Upstream, model: str
) -> None:
    """Row 5: silence in the middle, and a provider that drips bytes that are no event."""
    begun = time.monotonic()
    answer = stream(server, model, "stalls")
    took_s = time.monotonic() - begun
    print(f"{model}: given up after {took_s:.2f} s")
    assert answer.is_told_broken
    assert answer.error is not None
    assert answer.error["code"] == "upstream_timeout"
    assert GAP_S <= took_s < GAP_S * SLACK
    until(lambda: upstream.running == 0)


def test_row_5_an_answer_that_never_ends_is_ended_when_the_calls_time_is_up(server: Server, upstream: Upstream) -> None:
    """Row 5: each piece comes in time, and there is always another; and a provider that never says anything."""
    began = time.monotonic()
    answer = stream(server, "talks-on", "never-ends")
    assert TOTAL_S <= time.monotonic() - began < TOTAL_S * SLACK
    assert answer.is_told_broken
    assert answer.error is not None
    assert answer.error["code"] == "request_timeout"
    assert answer.text.startswith(" word word")
    row = row_of(server, answer)
    assert (row.status, row.usage_estimated, row.output_tokens > 0) == (504, True, True)
    for streamed in (False, True):
        refused = server.chat(model="says-nothing", stream=streamed)
        assert (refused.status, refused.error["code"]) == (504, "request_timeout")
    until(lambda: upstream.running == 0)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", BROKEN_WHOLE)
def test_row_9_what_is_no_answer_is_told_as_such(server: Server, model: str, streamed: bool) -> None:
    """Row 9: HTML with 200, half a JSON document, another content type, another kind of object."""
    answer = server.chat(model=model, stream=streamed)
    assert (answer.status, answer.error["code"]) == (502, BROKEN_WHOLE[model])
    assert "Welcome" not in answer.body.decode()


@pytest.mark.parametrize("model", ODD_BUT_WHOLE)
def test_row_9_what_is_odd_but_whole_is_passed_on(server: Server, model: str) -> None:
    """Row 9: no `[DONE]`, CRLF, CR, a byte order mark, no blank after `data:`, comments."""
    answer = stream(server, model, "odd")
    assert answer.is_whole, answer
    assert answer.text in (TEXT, "word0")


def test_row_9_a_line_without_end_is_refused(server: Server) -> None:
    """Row 9: 10 MB in one line."""
    answer = server.chat(model="long-line", stream=True)
    assert (answer.status, answer.error["code"]) == (502, "upstream_invalid")
    assert stream(server, "well", "after").is_whole


def test_row_10_whenever_a_client_leaves_the_provider_is_closed_and_the_tokens_are_booked(
    server: Server, upstream: Upstream
) -> None:
    """Row 10: after k bytes for each of many k; the figure is 100 ms."""
    lasted: list[float] = []
    for left_after in range(1, 1500, 125):
        body = msgspec.json.encode(
            {"model": "endless", "stream": True, "user": f"left-{left_after:04}",
             "messages": [{"role": "user", "content": "hi"}]}
        )  # fmt: skip
        with connected(server.port) as wire:
            wire.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            while len(wire.received) < left_after:
                assert wire.read_some(within_s=20)
            words = wire.received.count(b" word")
        begun = time.monotonic()
        until(lambda: upstream.running == 0, every_s=0.002)
        lasted.append(time.monotonic() - begun)
        user = f"left-{left_after:04}"
        until(lambda user=user: any(row.end_user == user for row in server.rows()))  # type: ignore[misc]  # bound now
        (row,) = [row for row in server.rows() if row.end_user == user]
        assert (row.status, row.error) == (499, "client_closed")
        assert row.output_tokens >= words * len(" word") // 4
        assert row.input_tokens > 0
    lasted.sort()
    print(f"the provider was closed {lasted[len(lasted) // 2] * 1000:.0f} ms after, {lasted[-1] * 1000:.0f} at most")
    assert lasted[len(lasted) // 2] < 0.1 * SLACK
