"""Gives the call a deployment that is likely to answer."""

from typing import Protocol

from undercroft.errors import InvalidRequest, UpstreamError
from undercroft.gateway.call import Call, Deployment, Handler
from undercroft.llm.provider import ChatProvider, CompletionProvider, EmbeddingProvider
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, CompletionRequest, Request


class Gauge(Protocol):
    """Counts the calls that are with a provider right now."""

    def begin(self, endpoint: str, model: str, provider: str, /) -> None: ...
    def end(self, endpoint: str, model: str, provider: str, /) -> None: ...


class Route:
    """Chooses one of the model's deployments for this attempt, and holds its place until the answer has ended."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        model = call.model
        assert model is not None, "Find stands before Route"
        balancer, gauge, trail = model.balancer, self._gauge, call.trail
        deployment = balancer.choose()
        trail.deployment = deployment
        trail.attempts += 1
        balancer.started(deployment)
        gauge.begin(call.endpoint, model.name, deployment.provider)

        def release(ok: bool) -> None:
            balancer.finished(deployment, ok=ok)
            gauge.end(call.endpoint, model.name, deployment.provider)

        try:
            reply = await proceed(call)
        except BaseException as error:
            release(not isinstance(error, UpstreamError))
            raise
        trail.releases.append(release)
        return reply


async def provide(call: Call) -> Reply:
    """The innermost step: asks the chosen deployment's provider."""
    deployment = call.trail.deployment
    assert deployment is not None, "Route stands before provide"
    return await send(deployment, call.request)


async def send(deployment: Deployment, request: Request) -> Reply:
    """Asks a provider in the way the request's kind wants; a provider that cannot is the caller's mistake (400)."""
    client = deployment.client
    if isinstance(request, ChatRequest):
        if isinstance(client, ChatProvider):
            return await client.send(request)
        raise _cannot(request.model, "chat", "/v1/embeddings")
    if isinstance(request, CompletionRequest):
        if isinstance(client, CompletionProvider):
            return await client.complete(request)
        raise _cannot(request.model, "text completion", "another model")
    if isinstance(client, EmbeddingProvider):
        return await client.embed(request)
    raise _cannot(request.model, "embeddings", "an embedding model")


def _cannot(model: str, what: str, instead: str) -> InvalidRequest:
    return InvalidRequest(
        f"The model '{model}' does not do {what}.",
        code="unsupported_operation",
        param="model",
        hint=f"Use {instead}.",
    )
