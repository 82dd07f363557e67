"""Azure OpenAI on loopback, made from its public documentation: both forms of its paths, its key, its filters."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from tests.support.upstream import (
    DONE,
    STREAM_HEAD,
    Request,
    Step,
    Upstream,
    chunk,
    delta,
    event,
    response,
    usage,
    well_behaved,
)

KEY = "azure-test"
VERSION = "2024-10-21"
FILTERED = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}

_DEPLOYED = re.compile(r"/openai/deployments/([^/]+)/(chat/completions|completions|embeddings)\?api-version=(.+)")
_NEWER = re.compile(r"/openai/v1/(chat/completions|completions|embeddings)")


class AzureUpstream(Upstream):
    """A resource with one deployment, `mine`; others misbehave by name."""

    def steps(self, request: Request) -> Iterable[Step]:
        old, new = _DEPLOYED.fullmatch(request.path), _NEWER.fullmatch(request.path)
        if old is None and new is None:
            return [refusal("404 Resource Not Found", "404", "Resource not found")]
        if request.headers.get("api-key") != KEY or "authorization" in request.headers:
            return [refusal("401 Access Denied", "401", f"Access denied due to invalid subscription key {KEY}.")]
        deployment = old[1] if old is not None else request.model
        if old is not None and old[3] != VERSION:
            return [refusal("404 Resource Not Found", "404", "Resource not found")]
        if deployment in self.answers:
            return self.answers[deployment](request)
        if deployment == "filtered-prompt":
            return [FILTERED_PROMPT]
        if deployment == "filtered-answer":
            return _filtered_answer(request)
        if deployment == "busy":
            return [BUSY]
        if deployment != "mine":
            return [
                refusal("404 Not Found", "DeploymentNotFound", "The API deployment for this resource does not exist.")
            ]
        steps = list(well_behaved(msgspec.structs.replace(request, path=request.path.partition("?")[0])))
        if request.json.get("stream"):
            steps.insert(1, event(prompt_results()))
        return steps


def refusal(line: str, code: str, message: str, **inner: Any) -> bytes:
    return response(msgspec.json.encode({"error": {"code": code, "message": message, **inner}}), status=line)


def prompt_results() -> dict[str, Any]:
    """The first chunk of every stream: what the filter says of the prompt, and no choice."""
    results = [{"prompt_index": 0, "content_filter_results": FILTERED}]
    return {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": results}


FILTERED_PROMPT = refusal(
    "400 Bad Request",
    "content_filter",
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    param="prompt",
    type=None,
    status=400,
    innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
)
BUSY = response(
    msgspec.json.encode({"error": {"code": "429", "message": "Requests have exceeded the token rate limit."}}),
    status="429 Too Many Requests",
    fields="retry-after: 3\r\nretry-after-ms: 2500\r\n",
)


def _filtered_answer(request: Request) -> Iterable[Step]:
    results = {"violence": {"filtered": True, "severity": "high"}}
    if not request.json.get("stream"):
        choice = {"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": ""}}
        answer = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-fake",
            "prompt_filter_results": prompt_results()["prompt_filter_results"],
            "choices": [{**choice, "content_filter_results": results}], "usage": usage(0),
        }  # fmt: skip
        return [response(msgspec.json.encode(answer))]
    ended = delta(finish_reason="content_filter")
    ended["choices"] = [{"index": 0, "delta": {}, "finish_reason": "content_filter", "content_filter_results": results}]
    return [STREAM_HEAD, event(prompt_results()), event(delta("one", role="assistant")), event(ended), DONE, chunk(b"")]
