"""The fast path against the stages: the same requests, the same faults, and nothing may tell them apart."""

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pytest
from pydantic import SecretStr

from tests.support.both_paths import Asked, World, ask, both, message_of
from tests.support.egress import until
from tests.support.faults import Faults
from tests.support.upstream import (
    CHUNKED_HEAD,
    DONE,
    STREAM_HEAD,
    Do,
    Step,
    Upstream,
    chunk,
    delta,
    event,
    response,
    running_upstream,
)
from tests.support.upstream import Request as UpstreamRequest
from undercroft.access.keys import StoredKey, make_key
from undercroft.api.protocol import HttpProtocol
from undercroft.record import Who
from undercroft.settings.model import Cache, Deployment, Egress, Ledger, LimitRule, Limits, Model, Price, Server

SEED: Final = 20260826
REQUESTS: Final = 560
LIMITED_REQUESTS: Final = 120

FAULTS: Final = (
    "reset", "reset-times-1", "role-reset-times-1", "cut-after-0", "cut-after-1", "cut-after-4", "cut-after-13",
    "close-after-2", "close-after-14", "malformed-at-0", "malformed-at-3", "cut-at-byte-40", "cut-at-byte-333",
    "status-400", "status-401", "status-404", "status-429-times-1", "status-500", "status-503-times-1",
    "should-not-retry", "web-page", "half-json", "wrong-type", "other-json", "no-done", "crlf", "cr",
    "bom-and-no-blanks", "comments", "context", "policy", "tools", "named", "odd-usage", "encoded", "chunked-whole",
    "in-two", "error-event", "usage-twice", "empty-choices", "drained", "created", "closing", "texts", "bad-text",
    "bad-end", "more-fields", "many-words", "many-cut", "huge",
)  # fmt: skip
SILENT: Final = ("silent", "silent-after-head", "silent-after-role", "stall-after-4", "long-stream")
WELL: Final = ("well", "well-too")
ODD_BODIES: Final = (
    b"", b"{", b"[]", b"null", b'{"model":"well"}', b'{"model":"well","messages":[]}',
    b'{"model":"well","messages":[{"role":"user"}]}', b'{"model":"well","messages":[{"role":"wizard","content":"x"}]}',
    b'{"model":"well","messages":[{"role":"user","content":"hi"}],"temperature":9}',
    b'{"model":"well","messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}}',
    b'{"model":"well","messages":[{"role":"user","content":"hi"}],"max_tokens":3,"max_completion_tokens":3}',
    b'{"model":"nobody","messages":[{"role":"user","content":"hi"}]}',
    b'{"messages":[{"role":"user","content":"the default model"}]}',
    b'{"model":"well","model":"well-too","messages":[{"role":"user","content":"named twice"}]}',
    b'{"model":"well","messages":[{"role":"user","content":"named twice","content":"deeper down"}]}',
    b'{"model":"well","messages":[{"role":"user","content":"hi"}],"x":{"a":1,"b":{"c":1,"c":2}}}',
    b'{"model":"well","messages":[{"role":"user","content":"deep"}],"x":' + b"[" * 200 + b"]" * 200 + b"}",
    b'{"model":"well","messages":[{"role":"user","content":"kept"}],"store":true}',
    b'{"model":"well","messages":[{"role":"user","content":"hi"}],"prompt":{"id":"greeting"}}',
    b'{"model":"well","messages":[{"role":"user","content":"labelled"}],"metadata":{"project":"p1","other":"x"}}',
    b'{"model":"well","messages":[{"role":"user","content":"\xff"}]}',
    b'{"model":"well","messages":[{"role":"user","content":"\\ud800"}]}',
    b' {"messages" : [ {"role":"user","content":[{"type":"text","text":"part"}]} ] , "model" : "well" } ',
)  # fmt: skip


MESSAGES_BODY: Final = b'{"model":"well","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
ODD_MESSAGES: Final = (
    b"", b"{", b'{"model":"well","max_tokens":9}', b'{"model":"well","max_tokens":9,"messages":[]}',
    b'{"model":"well","messages":[{"role":"user","content":"hi"}]}',
    b'{"model":"well","max_tokens":0,"messages":[{"role":"user","content":"hi"}]}',
    b'{"model":"well","max_tokens":9,"temperature":1.1,"messages":[{"role":"user","content":"hi"}]}',
    b'{"model":"well","max_tokens":9,"max_tokens":8,"messages":[{"role":"user","content":"named twice"}]}',
    b'{"model":"well","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}',
    b'{"model":"well","max_tokens":9,"messages":[{"role":"user","content":[]}]}',
    b'{"model":"well","max_tokens":9,"messages":[{"role":"assistant","content":[]}]}',
    b'{"model":"well","max_tokens":9,"messages":[{"role":"system","content":"hi"}]}',
    b'{"model":"well","max_tokens":9,"system":[],"messages":[{"role":"user","content":"hi"}]}',
    b'{"model":"well","max_tokens":9,"system":"","messages":[{"role":"user","content":"hi"}]}',
    b'{"model":"nobody","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}',
    b'{"model":"well","max_tokens":9,"messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"model":"well","max_tokens":9,"messages":[{"role":"user","content":"\xff"}]}',
    (b'{"model":"two","max_tokens":9,"temperature":1,"top_p":0.5,"stream":false,"system":[{"type":"text","text":"So."}],'
    b'"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},'
    b'{"role":"assistant","content":"\\u00e9"}]}'),
)  # fmt: skip


MESSAGE: Final[Mapping[str, Any]] = {"role": "assistant", "content": "four words for you"}
ANSWER: Final[Mapping[str, Any]] = {
    "id": "chatcmpl-9", "object": "chat.completion", "created": 1, "model": "fake-1",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11},
}  # fmt: skip
TOOL_CALL: Final = {"index": 0, "function": {"name": "look", "arguments": {"a": 1}}}
"""As some providers write it."""
ODD_USAGE: Final = {
    "prompt_tokens": None, "completion_tokens": -5, "completion_tokens_details": {"reasoning_tokens": 3},
}  # fmt: skip
PIECES: Final = (event(delta("word", role="assistant")), event(delta(finish_reason="stop")))
TEXTS: Final = ("a", 'quo"ted', "back\\slash", "größer", "", "line\nbreak", "😀", '"', "b", "c", "\x7f", "d")


def raw_event(text: bytes, more: bytes = b"") -> bytes:
    """A piece of an answer whose text stands in the JSON just so."""
    return chunk(
        b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"fake-1","choices":[{"index":0,'
        b'"delta":{"content":"%b"},"finish_reason":null}]%b}\n\n' % (text, more)
    )


STREAMS: Final[Mapping[str, Sequence[Step]]] = {
    "tools": (STREAM_HEAD, event(delta(tool_calls=[TOOL_CALL])), event(delta(finish_reason="tool_calls")), DONE),
    "named": (
        STREAM_HEAD.replace(b"content-type", b"x-ratelimit-limit-requests: 9\r\ncontent-type"), *PIECES, DONE,
    ),
    "odd-usage": (STREAM_HEAD, event({**delta("a"), "usage": ODD_USAGE}), *PIECES, DONE),
    "in-two": (STREAM_HEAD, PIECES[0][:30], 0.01, PIECES[0][30:], 0.01, PIECES[1][:9], 0.01, PIECES[1][9:], DONE),
    "error-event": (STREAM_HEAD, *PIECES, event({"error": {"message": "broke", "code": "server_error"}}), DONE),
    "usage-twice": (STREAM_HEAD, *PIECES, event({**delta(), "usage": ANSWER["usage"]}), *PIECES, DONE),
    "empty-choices": (
        STREAM_HEAD, event({**delta(), "choices": [], "prompt_filter_results": [1]}), *PIECES,
        event({"usage": ANSWER["usage"]}), DONE,
    ),
    "drained": (STREAM_HEAD, *PIECES, DONE, b"HTTP/1.1 200 OK\r\n"),
    "long-stream": (STREAM_HEAD, PIECES[0], *[step for _ in range(30) for step in (event(delta("")), 0.3)], DONE),
    "texts": (STREAM_HEAD, *[event(delta(text)) for text in (*TEXTS, *TEXTS)], PIECES[1], DONE),
    "bad-text": (STREAM_HEAD, raw_event(b"a"), raw_event(b"b"), raw_event(b"\xff"), raw_event(b"c"), PIECES[1], DONE),
    "bad-end": (STREAM_HEAD, raw_event(b"a"), raw_event(b'b"'), raw_event(b"c"), PIECES[1], DONE),
    "more-fields": (
        STREAM_HEAD, raw_event(b"a", b',"x":{"content":"a"}'), raw_event(b"b", b',"x":{"content":"a"}'),
        raw_event(b"c"), raw_event(b"d"), raw_event(b"e", b',"usage":null'), raw_event(b"f"), PIECES[1], DONE,
    ),
    "many-words": (STREAM_HEAD, *[raw_event(b"w%d " % number) for number in range(600)], PIECES[1], DONE),
    "many-cut": (STREAM_HEAD, *[raw_event(b"w%d " % number) for number in range(300)], 0.02, Do.RESET),
}  # fmt: skip


def written(answer: Mapping[str, Any], fields: str = "", *, status: str = "200 OK") -> Sequence[Step]:
    return (response(msgspec.json.encode(answer), fields=fields, status=status),)


BODY: Final = msgspec.json.encode(ANSWER)
WHOLES: Final[Mapping[str, Sequence[Step]]] = {
    "tools": written({**ANSWER, "choices": [{"index": 0, "message": {**MESSAGE, "tool_calls": [TOOL_CALL]}}]}),
    "named": written(ANSWER, "x-ratelimit-limit-requests: 100\r\nx-ratelimit-remaining-requests: 99\r\n"),
    "odd-usage": written({**ANSWER, "usage": ODD_USAGE}),
    "encoded": written(ANSWER, "content-encoding: gzip\r\n"),
    "chunked-whole": (CHUNKED_HEAD, chunk(BODY[:40]), chunk(BODY[40:90]), chunk(BODY[90:]), chunk(b"")),
    "in-two": (response(BODY)[:70], 0.01, response(BODY)[70:100], 0.01, response(BODY)[100:]),
    "created": written(ANSWER, status="201 Created"),
    "closing": written(ANSWER, "connection: close\r\n"),
    "huge": written({**ANSWER, "choices": [{"index": 0, "message": {**MESSAGE, "content": "x" * 1_500_000}}]}),
}


def own(request: UpstreamRequest, faults: Faults) -> Iterable[Step]:
    """Answers that the table of faults does not have, and those that it has."""
    steps = (STREAMS if request.json.get("stream") else WHOLES).get(request.model)
    return faults.answer(request) if steps is None else steps


@asynccontextmanager
async def worlds(folder: Path, **sections: Any) -> AsyncIterator[tuple[Upstream, Upstream, World, World]]:
    """Both servers, each in front of an upstream of its own with every fault: faults count how often they were met."""

    def settings(base_url: str) -> Mapping[str, Any]:
        to = Deployment(
            provider="openai_compatible", base_url=base_url, api_key=SecretStr("k"), price=Price(input="1", output="2")
        )
        return {
            "models": (
                *(Model(name=name, deployments=(to,)) for name in (*WELL, *FAULTS, *SILENT)),
                *(
                    Model(name=f"{name}-{more}", deployments=(to.model_copy(update={"model": name}),))
                    for name in FAULTS
                    for more in ("too", "again")  # or failures would make them rest
                ),
                Model(name="two", deployments=(to, to)),
            ),
            "egress": Egress(first_byte_timeout_s=0.7, idle_timeout_s=0.7),
            "server": Server(request_timeout_s=3.0),
            "ledger": Ledger(tags=("project",)),
            **sections,
        }

    async with (
        running_upstream(upstream=faulty()) as first,
        running_upstream(upstream=faulty()) as second,
        both(settings, first.base_url, second.base_url, folder) as (fast, stages),
    ):
        yield first, second, fast, stages


def faulty() -> Upstream:
    upstream, faults = Upstream(), Faults()
    upstream.otherwise = lambda request: own(request, faults)
    return upstream


def corpus(rng: random.Random) -> Iterator[Asked]:
    """Well and ill, whole and streamed, plain and not, by clients who wait and who do not."""
    yield from (Asked(message_of(body)) for body in ODD_BODIES)
    yield Asked(messages_for("silent"), leaves_after_s=0.15)
    for name in (*FAULTS, *SILENT):
        yield Asked(request_for(name, stream=False))
        yield Asked(request_for(f"{name}-too" if name in FAULTS else name, stream=False), pieces=2)
        yield Asked(messages_for(f"{name}-again" if name in FAULTS else name))
        if name in FAULTS:
            yield Asked(messages_for(f"{name}-again", system="Be terse."))
    for body in ODD_MESSAGES:
        yield Asked(message_of(body, path="/v1/messages"))
    for fields in FIELDS:
        yield Asked(message_of(MESSAGES_BODY, fields=fields, path="/v1/messages"))
    for name in FAULTS:
        for stream in (False, True):
            yield Asked(message_of(body_of(rng, name, stream=stream)))
            yield Asked(message_of(messages_body_of(rng, f"{name}-too", stream=stream), path="/v1/messages"))
    for name in SILENT:
        for stream in (False, True):
            yield Asked(message_of(body_of(rng, name, stream=stream)))
            if stream and name in ("stall-after-4", "long-stream"):
                yield Asked(message_of(body_of(rng, name, stream=True)), leaves_after_bytes=300)
            else:
                yield Asked(message_of(body_of(rng, name, stream=stream)), leaves_after_s=0.15)
    while True:
        fields = rng.choice(("", "", "", *FIELDS))
        is_anthropic, stream = rng.random() < 0.3, rng.random() < 0.5
        pieces = 1 if fields.startswith("expect") else rng.choice((1, 1, 2, 2, 3))
        write, path = (messages_body_of, "/v1/messages") if is_anthropic else (body_of, "/v1/chat/completions")
        yield Asked(
            message_of(write(rng, rng.choice((*WELL, "two")), stream=stream), fields=fields, path=path), pieces=pieces
        )


FIELDS: Final = (
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", "traceparent: nonsense\r\n",
    "authorization: Bearer sk-whatever\r\n", "x-api-key: abc\r\n", "authorization: Bearer uc_aaaaaaaa_wrong\r\n",
    "x-undercroft-tags: fast\r\n", "x-undercroft-usage-tags: project=p2\r\n", "x-undercroft-content: keep\r\n",
    "x-undercroft-cache-control: use\r\n", "x-undercroft-cache-control: nonsense\r\n", "cookie: undercroft=x\r\n",
    "origin: http://localhost\r\n", "origin: https://elsewhere.example\r\n", "x-forwarded-for: 10.1.1.1\r\n",
    "anthropic-version: 2023-06-01\r\n", "anthropic-beta: a,b\r\n", "anthropic-beta: ?\r\n",
    "content-encoding: gzip\r\n", "content-encoding: identity\r\n",
    "idempotency-key: k1\r\n", "host: localhost\r\n", "connection: close\r\n", "expect: 100-continue\r\n",
    "accept: */*\r\naccept: x\r\n",
)  # fmt: skip


def body_of(rng: random.Random, model: str, *, stream: bool, **more: Any) -> bytes:
    messages: list[dict[str, Any]] = [{"role": "user", "content": rng.choice(("hi", "größer 😀", "x" * 3000))}]
    if rng.random() < 0.3:
        messages.insert(0, {"role": rng.choice(("system", "developer")), "content": "Be terse."})
    fields: dict[str, Any] = {"model": model, "messages": messages}
    if rng.random() < 0.5:
        fields["user"] = f"u{rng.randrange(10**9)}"
    if stream:
        fields["stream"] = True
        if rng.random() < 0.4:
            fields["stream_options"] = {"include_usage": rng.random() < 0.7}
    extras: Mapping[str, Any] = {
        "temperature": 0.5, "n": 1, "max_tokens": 64, "stop": ["\n"], "seed": 7, "made_up": {"a": [1, None]},
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}], "logprobs": True,
        "response_format": {"type": "json_object"}, "metadata": {"a": "b"}, "reasoning_effort": "low",
    }  # fmt: skip
    for name in rng.sample(sorted(extras), rng.randrange(3)):
        fields[name] = extras[name]
    return msgspec.json.encode(fields | more)


def messages_body_of(rng: random.Random, model: str, *, stream: bool) -> bytes:
    """A call in Anthropic's format."""
    messages = [{"role": "user", "content": rng.choice(("hi", "größer 😀", [{"type": "text", "text": "part"}]))}]
    fields: dict[str, Any] = {"model": model, "max_tokens": 64, "messages": messages, "stream": stream}
    extras: Mapping[str, Any] = {
        "system": "Be terse.", "top_k": 5, "metadata": {"user_id": "u1"}, "stop_sequences": ["\n"],
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "made_up": [1],
    }  # fmt: skip
    for name in rng.sample(sorted(extras), rng.randrange(3)):
        fields[name] = extras[name]
    return msgspec.json.encode(fields)


def messages_for(model: str, **fields: Any) -> bytes:
    """A plain one of them."""
    asked = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "go"}], **fields}
    return message_of(msgspec.json.encode(asked), path="/v1/messages")


WARM: Final = Asked(message_of(b'{"model":"well","messages":[{"role":"user","content":"warm"}]}'))
"""After it, a connection is open and idle."""


def test_nobody_can_tell_which_way_a_call_went(tmp_path: Path) -> None:
    asyncio.run(_compare(tmp_path))


async def _compare(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    async with worlds(tmp_path) as (upstream, other, fast, stages):
        asked = corpus(rng)
        for number in range(REQUESTS):
            one = next(asked)
            await asyncio.gather(ask(fast.port, WARM), ask(stages.port, WARM))
            taken = fast.taken
            first, second = await asyncio.gather(ask(fast.port, one), ask(stages.port, one))
            if (
                b'"long-stream"' in one.message and b'"stream":true' in one.message
            ):  # how many pieces there were until the time was up, is chance
                assert set(first.splitlines()) == set(second.splitlines())
            elif one.leaves_after_bytes is None:
                assert first == second, (number, one.message.partition(b"\r\n\r\n")[2][:60], fast.taken - taken)
            else:
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        assert fast.taken > REQUESTS, "more than the calls that warm it up"
        assert fast.expressed > REQUESTS * 2 // 3, "of them, by the shortest way"
        assert fast.translated > len(FAULTS), "of these, out of Anthropic's format"
        by_lane, by_stages = await fast.told(), await stages.told()
        for each, other_record in zip(by_lane, by_stages, strict=True):
            assert each == other_record, [pair for pair in zip(each, other_record, strict=True) if pair[0] != pair[1]]
        assert await fast.counted() == await stages.counted()
        assert await fast.conditions() == await stages.conditions()
        assert fast.answers() == stages.answers()
        assert upstream.running == other.running == 0
        assert [each.json for each in upstream.requests] == [each.json for each in other.requests]


LIMITED: Final = Limits(
    rules=(
        LimitRule(per="organisation", period="total", requests=50, tokens=60_000, spend="0.2", concurrent=3),
        LimitRule(per="user", period="total", model="many-words", spend="0.012"),
    ),
    output_tokens=60,
)
"""Long answers need more than was held for them, and there is less than all of these calls want."""


def test_limits_count_the_same_on_both_paths(tmp_path: Path) -> None:
    async def compare() -> None:
        rng = random.Random(SEED)
        async with worlds(tmp_path, limits=LIMITED) as (upstream, other, fast, stages):
            seen = b""
            for number in range(LIMITED_REQUESTS):
                name = rng.choice(("well", "many-words", "many-words", "texts"))
                if number % 4:
                    said = {"max_tokens": 50} if rng.random() < 0.7 else {}
                    one = Asked(message_of(body_of(rng, name, stream=rng.random() < 0.6, **said)))
                else:
                    one = Asked(messages_for(name, temperature=rng.random()))
                first, second = await asyncio.gather(ask(fast.port, one), ask(stages.port, one))
                assert first == second, (number, name)
                seen += first
            sent = [each.json for each in upstream.requests]
            assert sent == [each.json for each in other.requests]
            ends = {each.get("max_tokens", each.get("max_completion_tokens")) for each in sent}
            assert ends == {50, 60, 64}, "an answer under a budget has an end"
            assert fast.taken > 15, "of those that are not refused"
            assert fast.expressed > 3, "of them, by the shortest way"
            assert fast.translated > 3, "of these, out of Anthropic's format"
            for told in (b"x-ratelimit-remaining-tokens", b"x-undercroft-hold", b"budget_exceeded", b"rate_limit"):
                assert told in seen, told
            assert await fast.told() == await stages.told()
            assert await fast.counted() == await stages.counted()
            assert await fast.held() == await stages.held() == 0
            assert upstream.running == other.running == 0

    asyncio.run(compare())


def request_for(model: str, *, stream: bool) -> bytes:
    fields = {"model": model, "messages": [{"role": "user", "content": "go"}], "stream": stream}
    return message_of(msgspec.json.encode(fields))


def test_a_server_that_ends_tells_those_who_wait_the_same(tmp_path: Path) -> None:
    async def compare() -> None:
        async with worlds(tmp_path) as (_, _, fast, stages):
            for waiting_for in (
                request_for("silent", stream=False),
                request_for("silent", stream=True),
                request_for("stall-after-4", stream=True),
                messages_for("silent"),
            ):
                await asyncio.gather(ask(fast.port, WARM), ask(stages.port, WARM))
                taken = fast.taken
                waiting = [asyncio.create_task(ask(world.port, Asked(waiting_for))) for world in (fast, stages)]
                await asyncio.sleep(0.2)
                assert fast.taken == taken + 1
                for protocol in (*fast.protocols, *stages.protocols):
                    protocol.cut()
                first, second = await asyncio.gather(*waiting)
                assert first == second
                assert b"was stopped before" in first
            assert await fast.told() == await stages.told()
            assert await fast.counted() == await stages.counted()

    asyncio.run(compare())


def test_a_client_who_does_not_read_makes_the_provider_wait(tmp_path: Path) -> None:
    async def read_late() -> None:
        async with worlds(tmp_path, server=Server(request_timeout_s=120.0)) as (upstream, _, fast, _):
            pieces = [raw_event(b"x" * 50_000) for _ in range(PIECES_OF_A_FLOOD)]
            upstream.answers["well-too"] = lambda _: [STREAM_HEAD, *pieces, PIECES[1], DONE]
            await ask(fast.port, Asked(request_for("well", stream=False)))
            reader, writer = await asyncio.open_connection("127.0.0.1", fast.port)
            writer.write(request_for("well-too", stream=True))
            await asyncio.sleep(1.0)
            assert fast.taken == 1, "the first had no connection yet"
            sent = max(peer.sent_bytes for peer in upstream.peers)
            assert 0 < sent < 50_000 * PIECES_OF_A_FLOOD / 2
            got = b""
            while not got.endswith(b"0\r\n\r\n"):
                piece = await reader.read(1 << 20)
                assert piece, "cut"
                got = (got + piece)[-100:] if len(got) > 1000 else got + piece
            assert max(peer.sent_bytes for peer in upstream.peers) > 50_000 * PIECES_OF_A_FLOOD, got[-400:]
            writer.transport.abort()

    asyncio.run(read_late())


PIECES_OF_A_FLOOD: Final = 600


def test_a_key_that_is_revoked_is_refused_at_once(tmp_path: Path) -> None:
    async def revoke() -> None:
        async with worlds(tmp_path) as (_, _, fast, _):
            undercroft = await fast.application.start()
            key = make_key(os.urandom)
            row = StoredKey(id=key.id, hash=key.hash, who=Who(key=key.id), permissions=frozenset({"ai"}))
            undercroft.keys.replace([row])
            fields = f"authorization: Bearer {key.text}\r\n"
            asked = Asked(message_of(b'{"model":"well","messages":[{"role":"user","content":"hi"}]}', fields=fields))
            for _ in range(3):
                assert (await ask(fast.port, asked)).startswith(b"HTTP/1.1 200")
            assert fast.taken == 2
            undercroft.keys.replace([replace(row, models=frozenset({"another"}))])
            assert (await ask(fast.port, asked)).startswith(b"HTTP/1.1 403")
            undercroft.keys.replace([])
            assert (await ask(fast.port, asked)).startswith(b"HTTP/1.1 401")
            assert fast.taken == 2

    asyncio.run(revoke())


def test_a_name_that_gets_a_release_leaves_the_fast_path_and_the_others_stay(tmp_path: Path) -> None:
    def asked(model: str) -> Asked:
        return Asked(message_of(b'{"model":"%b","messages":[{"role":"user","content":"hi"}]}' % model.encode()))

    async def taken_for(world: World, model: str) -> int:
        before = world.taken
        for _ in range(3):
            assert (await ask(world.port, asked(model))).startswith(b"HTTP/1.1 200")
        return world.taken - before

    async def manage(world: World, path: str, body: Mapping[str, Any]) -> Any:
        answer = await ask(world.port, Asked(message_of(msgspec.json.encode(body), path=f"/api/v1{path}")))
        head, _, told = answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), answer
        return msgspec.json.decode(told)

    async def release() -> None:
        async with worlds(tmp_path) as (_, _, fast, _):
            for model in WELL:
                await taken_for(fast, model)
                assert await taken_for(fast, model) == 3
            version = await manage(fast, "/versions/model/well", {"content": {"target": "well-too"}})
            pins = {"alias": "well", "model": f"well@{version['digest']}"}
            released = await manage(fast, "/releases", pins)
            await manage(fast, f"/releases/{released['id']}/promote", {})
            deadline = asyncio.get_running_loop().time() + 20
            while b"x-undercroft-release" not in await ask(fast.port, asked("well")):
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.1)
            assert await taken_for(fast, "well") == 0
            assert await taken_for(fast, "well-too") == 3

    asyncio.run(release())


def test_what_may_hold_audio_goes_the_shortest_way_only_where_that_costs_no_more_than_text(tmp_path: Path) -> None:
    prices = {
        "deaf": Price(input="1", output="2"),
        "hears": Price(input="1", output="2", audio_input="10"),
        "speaks": Price(input="1", output="2", audio_output="20"),
    }

    def settings(base_url: str) -> Mapping[str, Any]:
        to = Deployment(provider="openai_compatible", base_url=base_url, model="well", api_key=SecretStr("k"))
        return {
            "models": tuple(
                Model(name=name, deployments=(to.model_copy(update={"price": price}),))
                for name, price in prices.items()
            )
        }

    async def expressed(fast: World, model: str, text: str) -> int:
        before = fast.expressed
        body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}]})
        for _ in range(2):
            assert (await ask(fast.port, Asked(message_of(body)))).startswith(b"HTTP/1.1 200")
        return fast.expressed - before

    async def hear() -> None:
        async with (
            running_upstream(upstream=faulty()) as upstream,
            both(settings, upstream.base_url, upstream.base_url, tmp_path) as (fast, _),
        ):
            assert await expressed(fast, "deaf", "warm") == 1, "the first opens a connection"
            assert {model: await expressed(fast, model, "an audio book") for model in prices} == {
                "deaf": 2, "hears": 0, "speaks": 0,
            }  # fmt: skip
            assert {model: await expressed(fast, model, "a book") for model in prices} == dict.fromkeys(prices, 2)

    asyncio.run(hear())


def test_answers_from_the_cache_are_the_same_on_both_paths(tmp_path: Path) -> None:
    async def compare() -> None:
        rng = random.Random(SEED)
        cache = Cache(mode="always", max_entry_bytes=100_000)
        async with worlds(tmp_path, cache=cache, limits=LIMITED) as (upstream, other, fast, stages):
            asked = [Asked(message_of(body_of(rng, rng.choice(WELL), stream=rng.random() < 0.2))) for _ in range(12)]
            asked += [
                Asked(request_for(name, stream=False)) for name in ("tools", "policy", "huge", "status-500", "named")
            ]
            asked += [Asked(messages_for(name)) for name in ("well", "well-too", "tools")]
            for number in range(60):
                one = rng.choice(asked)
                first, second = await asyncio.gather(ask(fast.port, one), ask(stages.port, one))
                assert first == second, (number, one.message.partition(b"\r\n\r\n")[2][:200])
            assert fast.expressed > 3
            assert fast.translated == 0, "in the cache they stand as they were sent, and are read in the stages"
            assert await fast.told() == await stages.told()
            assert await fast.counted() == await stages.counted()
            assert await fast.held() == await stages.held() == 0
            assert len(upstream.requests) == len(other.requests) < 45
            assert fast.answers() == stages.answers()

    asyncio.run(compare())


@pytest.mark.parametrize("mode", ["off", "always"])
def test_a_connection_that_idles_after_its_answer_is_closed(tmp_path: Path, mode: Literal["off", "always"]) -> None:
    async def idle() -> None:
        async with worlds(tmp_path, cache=Cache(mode=mode)) as (_, _, fast, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", fast.port)
            for _ in range(3):
                writer.write(request_for("well", stream=False))
                answer = b""
                while not answer.endswith(b"}"):
                    piece = await reader.read(65536)
                    assert piece, answer
                    answer += piece
                assert answer.startswith(b"HTTP/1.1 200")
            assert fast.expressed == 2
            fast.protocols[-1].sweep(asyncio.get_running_loop().time() + 70)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            fast.protocols[-1].sweep(asyncio.get_running_loop().time() + 80)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(idle())


def test_an_answer_goes_before_whatever_follows_it_in_the_same_turn(tmp_path: Path) -> None:
    """Answers of a turn go out at its end; what is written at once, or closes the connection, waits for them."""

    async def follow(then: Callable[[HttpProtocol], None]) -> bytes:
        async with worlds(tmp_path, cache=Cache(mode="always")) as (_, _, fast, _):
            request = request_for("well", stream=False)
            await ask(fast.port, Asked(request))
            reader, writer = await asyncio.open_connection("127.0.0.1", fast.port)
            await until(lambda: len(fast.protocols) == 2)
            protocol = fast.protocols[-1]
            for _ in range(2):
                protocol.data_received(request)
            then(protocol)
            writer.write_eof()
            got = await reader.read()
            writer.close()
            assert fast.expressed >= 2, "from the cache, at once"
            return got

    def statuses(got: bytes) -> list[bytes]:
        return re.findall(rb"HTTP/1.1 (\d+)", got)

    refused = asyncio.run(follow(lambda protocol: protocol.data_received(b"NOT HTTP\r\n\r\n")))
    assert statuses(refused) == [b"200", b"200", b"400"]
    wound_down = asyncio.run(follow(HttpProtocol.shutdown))
    assert statuses(wound_down) == [b"200", b"200"]
    assert statuses(asyncio.run(follow(lambda protocol: None))) == [b"200", b"200"]


def test_a_client_that_wants_its_connection_closed_gets_that(tmp_path: Path) -> None:
    async def close() -> None:
        async with worlds(tmp_path) as (_, _, fast, stages):
            body = request_for("well", stream=False).partition(b"\r\n\r\n")[2]
            for _ in range(3):
                one = Asked(message_of(body, fields="connection: close\r\n"))
                await asyncio.gather(ask(fast.port, WARM), ask(stages.port, WARM))
                first, second = await asyncio.gather(ask(fast.port, one), ask(stages.port, one))
                assert first == second
                assert b"connection: close" in first

    asyncio.run(close())
