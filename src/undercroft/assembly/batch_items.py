"""The lines of batches as a kind of job: calls of the endpoint that their batch is for, under the same key, budgets and
limits as a call over HTTP, and with its answer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from undercroft.assembly.job_kinds import GatewayInForce
from undercroft.assembly.reloads import UnderWay
from undercroft.assembly.responses import Responses
from undercroft.batches.types import KIND, ItemInput, ItemResult
from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, UndercroftError
from undercroft.gateway.call import Call
from undercroft.ids import Ids
from undercroft.jobs.handlers import JobContext
from undercroft.jobs.retry import failure_of
from undercroft.jobs.types import Job, Limits
from undercroft.llm.types import ChatRequest, Chunk, EmbeddingsRequest, Request
from undercroft.record import Usage, Who
from undercroft.telemetry.trace_context import trace_in
from undercroft.wire.body import read
from undercroft.wire.errors import envelope

if TYPE_CHECKING:
    from undercroft.batches.validation import Checked
    from undercroft.wire.openai import responses as wire

ENDPOINT: Final = "/v1/batches"
NOT_IN_A_BATCH: Final = ("stream", "background", "previous_response_id")
"""Fields of a request that a batch has no use for, or no place."""


class InForce(GatewayInForce, Protocol):
    """What answers under the configuration that is in force when a line's turn comes."""

    def responses(self) -> Responses: ...


class BatchItems:
    """The handler, and what looks at lines before there are jobs."""

    kind = KIND

    def __init__(self, *, limits: Limits, in_force: InForce, ids: Ids, clock: Clock) -> None:
        self.limits = limits
        self._in_force = in_force
        self._ids = ids
        self._clock = clock

    def look(self, endpoint: str, body: bytes, /) -> "Checked":
        """Raises InvalidRequest and ModelNotFound."""
        from undercroft.batches.validation import Checked

        request = _decode(endpoint, body)
        gateway = self._in_force.gateway()
        lane = gateway.lane(request)
        if endpoint == "/v1/responses" and gateway.catalogue.is_known(lane):  # a release is looked at when it answers
            assert isinstance(request, ChatRequest)
            self._in_force.responses().fit(request, Who())
        return Checked(lane, len(request.inputs) if isinstance(request, EmbeddingsRequest) else 0)

    def check(self, input: bytes, /) -> str:
        """The lane is the model: when none of its deployments takes calls, its jobs wait together."""
        asked = read(_inputs, input)
        return f"model:{self.look(asked.url, bytes(asked.body)).model}"

    async def run(self, job: Job, _: JobContext, /) -> bytes:
        asked = _inputs.decode(job.input)
        under_way: UnderWay = self._in_force.begin()
        call_id = self._ids.new("req_")
        try:
            request, answer_of = self._prepared(asked, job.who)
            call = self._call(job, asked, request, call_id)
            reply = await self._in_force.gateway().send(call)
            body = answer_of(call, await reply.read())
        except UndercroftError as error:
            if failure_of(error).blame != "final":
                raise
            return _encode(_refused(error, call_id))
        finally:
            under_way.end()
        told = {"status_code": 200, "request_id": call_id, "body": msgspec.Raw(body)}
        usage = call.trail.usage or Usage()
        return _encode(ItemResult(outcome="completed", response=msgspec.Raw(_encode(told)), usage=usage))

    def _prepared(self, asked: ItemInput, who: Who) -> tuple[Request, Callable[[Call, Chunk], bytes]]:
        """The request as it is sent, and what writes its answer."""
        body = bytes(asked.body)
        request = _decode(asked.url, body)
        if asked.url == "/v1/responses":
            from undercroft.wire.openai import responses as wire

            assert isinstance(request, ChatRequest)
            fitting, dropped = self._in_force.responses().fit(request, who)
            return fitting, _Responding(wire.decode(body), dropped, self._clock).whole
        return request, _WRITERS[asked.url]

    def _call(self, job: Job, asked: ItemInput, request: Request, call_id: str) -> Call:
        started = self._clock.monotonic()
        return Call(
            id=call_id,
            endpoint=ENDPOINT,
            who=job.who,
            request=request,
            started_us=self._clock.now_us(),
            started=started,
            deadline=started + job.timeout_us / 1_000_000,
            trace=trace_in(job.trace),
            traceparent=job.trace,
            batch=asked.batch,
        )


class _Responding:
    """Writes a response that nobody keeps: the batch's files do."""

    def __init__(self, asked: "wire.Asked", dropped: tuple[str, ...], clock: Clock) -> None:
        self._asked = asked
        self._dropped = dropped
        self._clock = clock

    def whole(self, call: Call, chunk: Chunk) -> bytes:
        from undercroft.wire.openai import responses as wire

        call.trail.dropped += self._dropped
        suffix = call.id.removeprefix("req_")
        begun = wire.begun(
            self._asked.body, id=f"resp_{suffix}", created=call.started_us // 1_000_000, model=call.answered_by
        )
        begun = msgspec.structs.replace(begun, store=False)
        completed = self._clock.now_us() // 1_000_000
        return wire.whole(chunk, begun, suffix=suffix, completed=completed, changes={}).body


def _decode(endpoint: str, body: bytes) -> Request:
    """Raises InvalidRequest, also for what a batch has no place for."""
    request = _read(endpoint, body)
    named = read(_fields, body)
    for name in NOT_IN_A_BATCH:
        if name in named and bytes(named[name]) not in _ABSENT:
            raise InvalidRequest(f"'{name}' is not possible in a batch.", code="unsupported_parameter", param=name)
    return request


def _read(endpoint: str, body: bytes) -> Request:
    # Imported here, as all formats are by the routes that have them: no start needs one.
    from undercroft.wire.openai import chat, completions, embeddings, moderations, responses

    match endpoint:
        case "/v1/chat/completions":
            return chat.decode(body)
        case "/v1/completions":
            return completions.decode(body)
        case "/v1/embeddings":
            return embeddings.decode(body)
        case "/v1/moderations":
            return moderations.decode(body)
        case "/v1/responses":
            return responses.request_of(responses.decode(body), None)
    raise InvalidRequest(f"Batches cannot be for {endpoint[:100]}.", code="invalid_url", param="url")


def _refused(error: UndercroftError, call_id: str) -> ItemResult:
    status, _, body = envelope(error, request_id=call_id)
    told = {"status_code": status, "request_id": call_id, "body": msgspec.Raw(body)}
    return ItemResult(outcome="failed", response=msgspec.Raw(_encode(told)))


def _chatted(call: Call, chunk: Chunk) -> bytes:
    from undercroft.wire.openai import chat

    assert isinstance(call.request, ChatRequest)
    return chat.whole(
        chunk,
        id="chatcmpl-" + call.id.removeprefix("req_"),
        created=call.started_us // 1_000_000,
        model=call.answered_by,
        legacy_functions=call.request.legacy_functions,
    )


def _completed(call: Call, chunk: Chunk) -> bytes:
    from undercroft.wire.openai import completions

    named = "cmpl-" + call.id.removeprefix("req_")
    return completions.whole(chunk, id=named, created=call.started_us // 1_000_000, model=call.answered_by)


def _embedded(call: Call, chunk: Chunk) -> bytes:
    from undercroft.wire.openai import embeddings

    assert isinstance(call.request, EmbeddingsRequest)
    return embeddings.whole(chunk, model=call.answered_by, base64=call.request.base64)


def _moderated(call: Call, chunk: Chunk) -> bytes:
    from undercroft.wire.openai import moderations

    return moderations.whole(chunk, id="modr-" + call.id.removeprefix("req_"), model=call.answered_by)


_WRITERS: Final[dict[str, Callable[[Call, Chunk], bytes]]] = {
    "/v1/chat/completions": _chatted,
    "/v1/completions": _completed,
    "/v1/embeddings": _embedded,
    "/v1/moderations": _moderated,
}
_ABSENT: Final = (b"null", b"false")
_inputs = msgspec.json.Decoder(ItemInput)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode
