"""Gemini on loopback, made from its public documentation: as strict as the original, and it misbehaves on request.

What it does is chosen by the model in the path, as in `upstream.py`, whose steps and faults it shares.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tests.support.upstream import STREAM_HEAD, Answer, Do, Request, Step, Upstream, chunk, response

Body = dict[str, Any]

KEY = "AIza-test"
SIGNATURE = "c2lnbmVkIHRob3VnaHQ="
WEATHER = {"city": "Paris"}
PERSON = {"name": "Ada", "age": 36}

_PATH = re.compile(r"/v1beta/models/([^:/]+):(\w+)(\?alt=sse)?")
_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_FIELDS = {
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent",
}  # fmt: skip
_GENERATION = {
    "temperature", "topP", "topK", "frequencyPenalty", "presencePenalty", "seed", "stopSequences", "maxOutputTokens",
    "candidateCount", "responseMimeType", "responseJsonSchema", "responseLogprobs", "logprobs", "thinkingConfig",
}  # fmt: skip
_PARTS = {"text", "inlineData", "fileData", "functionCall", "functionResponse"}


class GeminiUpstream(Upstream):
    """The listening provider."""

    @property
    def base_url(self) -> str:
        return f"{self.origin_url}/v1beta"

    def steps(self, request: Request) -> Iterable[Step]:
        found = _PATH.fullmatch(request.path)
        if found is None:
            return [response("<html>Not Found</html>", status="404 Not Found", content_type="text/html")]
        model, method = found[1], found[2]
        for table in (self.answers, ANSWERS):
            if model in table:
                return table[model](request)
        if request.headers.get("x-goog-api-key") != KEY:
            return [KEY_INVALID]
        if method in ("embedContent", "batchEmbedContents"):
            return [_embeddings(request.json, model)]
        problem = _problem(request.json, model)
        if problem:
            return [refusal("400 Bad Request", 400, "INVALID_ARGUMENT", problem)]
        return well_behaved(request, is_stream=method == "streamGenerateContent")


# --- the wire ---------------------------------------------------------------------------------------------------------


def error(code: int, status: str, message: str, *details: Body) -> Body:
    fields: Body = {"code": code, "message": message, "status": status}
    if details:
        fields["details"] = list(details)
    return {"error": fields}


def refusal(line: str, code: int, status: str, message: str, *details: Body) -> bytes:
    return response(msgspec.json.encode(error(code, status, message, *details)), status=line)


def sent(payload: Body) -> bytes:
    """A piece as a chunk of its own, with the line ends that Google sends."""
    return chunk(b"data: %b\r\n\r\n" % msgspec.json.encode(payload))


def piece(*parts: Body, index: int = 0, finish: str | None = None, **more: object) -> Body:
    """An answer, or a piece of one. The index is left out where it is 0, as Google does."""
    candidate: Body = {}
    if parts or finish is None:
        candidate["content"] = {"parts": list(parts), "role": "model"}
    if finish is not None:
        candidate["finishReason"] = finish
    if index:
        candidate["index"] = index
    return {"candidates": [{**candidate, **more}], "modelVersion": "gemini-fake-1", "responseId": "r1"}


def usage(output: int, **more: int) -> Body:
    return {"promptTokenCount": 7, "candidatesTokenCount": output, "totalTokenCount": 7 + output, **more}


def _problem(body: Body, model: str) -> str:
    """What Google would refuse; empty when nothing is wrong."""
    generation = body.get("generationConfig", {})
    for name in [*(body.keys() - _FIELDS), *(generation.keys() - _GENERATION)]:
        return f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
    contents = body.get("contents")
    if not contents:
        return "* GenerateContentRequest.contents: contents is not specified"
    if len(generation.get("stopSequences", ())) > 5:
        return "stop_sequences: at most 5"
    before: list[Body] = []
    for turn in contents:
        if turn["role"] not in ("user", "model"):
            return "Please use a valid role: user, model."
        if not turn["parts"] or any(not (_PARTS & part.keys()) for part in turn["parts"]):
            return "Unable to submit request because it must have a text parameter."
        calls = [part for part in before if "functionCall" in part]
        results = [part for part in turn["parts"] if "functionResponse" in part]
        if calls and len(results) != len(calls):
            return "the number of function response parts is equal to the number of function call parts"
        if model.startswith("gemini-3") and any("functionCall" in part for part in turn["parts"]):
            first = next(part for part in turn["parts"] if "functionCall" in part)
            if "thoughtSignature" not in first:
                return "Function call is missing a thought_signature in functionCall parts."
        before = turn["parts"]
    return ""


def well_behaved(request: Request, *, is_stream: bool) -> Iterable[Step]:
    """Answers as the format says: whole or streamed, with limits, stops, candidates, tools, shapes and thoughts."""
    body = request.json
    generation = body.get("generationConfig", {})
    count = generation.get("candidateCount", 1)
    thoughts = [{"text": "Let me see.", "thought": True}] if _asks_thoughts(generation) else []
    spent = {"thoughtsTokenCount": 5} if thoughts else {}
    config = body.get("toolConfig", {}).get("functionCallingConfig", {})
    parts: list[Body]
    if config.get("mode") == "ANY":
        name = (config.get("allowedFunctionNames") or [body["tools"][0]["functionDeclarations"][0]["name"]])[0]
        parts, reason = [{"functionCall": {"name": name, "args": WEATHER}, "thoughtSignature": SIGNATURE}], "STOP"
    elif "responseJsonSchema" in generation:
        parts, reason = [{"text": '{"name": "Ada",'}, {"text": ' "age": 36}'}], "STOP"
    else:
        texts, reason = _texts(generation, words=400 if "long" in str(body["contents"]) else 10)
        parts = [{"text": text} for text in texts]
    told = usage(len(parts) * count, **spent)
    if not is_stream:
        candidates = [
            {**piece(*thoughts, *parts, index=index, finish=reason)["candidates"][0]} for index in range(count)
        ]
        whole = {**piece(), "candidates": candidates, "usageMetadata": told}
        return [0.001 * len(parts), response(msgspec.json.encode(whole))]
    return _stream([*thoughts, *parts], reason, count, told)


def _asks_thoughts(generation: Body) -> bool:
    return bool(generation.get("thinkingConfig", {}).get("includeThoughts"))


def _texts(generation: Body, *, words: int) -> tuple[list[str], str]:
    texts = [_WORDS[0], *(f" {_WORDS[position % 10]}" for position in range(1, words))]
    reason = "STOP"
    limit = generation.get("maxOutputTokens")
    if limit is not None and limit < len(texts):
        texts, reason = texts[:limit], "MAX_TOKENS"
    for stop in generation.get("stopSequences", ()):
        text, found, _ = "".join(texts).partition(stop)
        if found:
            texts, reason = [text], "STOP"
    return texts, reason


def _stream(parts: list[Body], reason: str, count: int, told: Body) -> Iterator[Step]:
    yield STREAM_HEAD
    for part in parts:
        for index in range(count):
            yield sent({**piece(part, index=index), "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}})
        yield 0.001
    for index in range(count):
        yield sent({**piece({"text": ""}, index=index, finish=reason), "usageMetadata": told})
    yield chunk(b"")


def _embeddings(body: Body, model: str) -> bytes:
    """Each text's letters, counted."""
    requests = body.get("requests", [body])
    if len(requests) > 100 or any(each["model"] != f"models/{model}" for each in requests):
        return refusal("400 Bad Request", 400, "INVALID_ARGUMENT", "at most 100 requests can be in one batch")
    texts = [each["content"]["parts"][0]["text"] for each in requests]
    vectors = [{"values": [float(text.lower().count(letter)) for letter in "abcdefghijklmnop"]} for text in texts]
    told = {"usageMetadata": {"promptTokenCount": 4 * len(texts)}}
    answer = {"embeddings": vectors} if "requests" in body else {"embedding": vectors[0]}
    return response(msgspec.json.encode({**answer, **told}))


# --- faults -----------------------------------------------------------------------------------------------------------

KEY_INVALID = refusal(
    "400 Bad Request", 400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.",
    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
)  # fmt: skip
EXHAUSTED = refusal(
    "429 Too Many Requests", 429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.",
    {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerMinute"}]},
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"},
)  # fmt: skip
_BEGUN: list[Step] = [STREAM_HEAD, sent(piece({"text": "one"})), 0.01, sent(piece({"text": " two"}))]


def _then(*steps: Step) -> Answer:
    return lambda request: steps


def _whole(payload: Body) -> Answer:
    """The same answer to both methods."""

    def answer(request: Request) -> Iterable[Step]:
        if "stream" in request.path:
            return [STREAM_HEAD, sent(payload), chunk(b"")]
        return [response(msgspec.json.encode(payload))]

    return answer


ANSWERS: dict[str, Answer] = {
    "exhausted": _then(EXHAUSTED),
    "overloaded": _then(refusal("503 Service Unavailable", 503, "UNAVAILABLE", "The model is overloaded.")),
    "broken": _then(refusal("500 Internal Server Error", 500, "INTERNAL", "An internal error has occurred.")),
    "late": _then(refusal("504 Gateway Timeout", 504, "DEADLINE_EXCEEDED", "Deadline expired.")),
    "missing": _then(refusal("404 Not Found", 404, "NOT_FOUND", "models/missing is not found.")),
    "elsewhere": _then(
        refusal("400 Bad Request", 400, "FAILED_PRECONDITION", "User location is not supported for the API use.")
    ),
    "overfull": _then(
        refusal(
            "400 Bad Request",
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        )
    ),
    "blocked-prompt": _whole(
        {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 7}}
    ),
    "unsafe": _whole({**piece(finish="SAFETY"), "usageMetadata": usage(0)}),
    "malformed-call": _whole(piece(finish="MALFORMED_FUNCTION_CALL", finishMessage="call: print(")),
    "no-candidates": _whole({"usageMetadata": {"promptTokenCount": 7}}),
    "cut-stream": _then(*_BEGUN, chunk(b"")),
    "reset-mid-stream": _then(*_BEGUN, 0.01, Do.RESET),
    "close-mid-stream": _then(*_BEGUN, Do.CLOSE),
    "stall-mid-stream": _then(*_BEGUN, Do.HANG),
    "error-in-stream": _then(*_BEGUN, sent(error(503, "UNAVAILABLE", "The model is overloaded.")), chunk(b"")),
    "usage-after-the-end": _then(
        *_BEGUN, sent(piece(finish="STOP")), 0.01, sent({"usageMetadata": usage(2)}), chunk(b"")
    ),
    "web-page": _then(response("<html>Welcome</html>", content_type="text/html")),
}
