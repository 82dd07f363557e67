"""The FastAPI application behind `/api/v1`."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from undercroft import __version__
from undercroft.api.manage import (
    audit,
    cache,
    config,
    keys,
    limits,
    logs,
    models,
    observed,
    plans,
    releases,
    requests,
    secrets,
    session,
    slo,
    usage,
    users,
    versions,
    webhooks,
)
from undercroft.assembly import Undercroft
from undercroft.errors import InvalidRequest, MethodNotAllowed, NotFound, UndercroftError
from undercroft.wire.errors import envelope


def build(undercroft: Undercroft) -> FastAPI:
    """All management routes over one undercroft. Errors leave in the one envelope."""
    app = FastAPI(
        title="undercroft management API", version=__version__, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.include_router(usage.router(undercroft))
    app.include_router(observed.router(undercroft))
    app.include_router(logs.router(undercroft))
    app.include_router(slo.router(undercroft))
    app.include_router(models.router(undercroft))
    app.include_router(keys.router(undercroft))
    app.include_router(limits.router(undercroft))
    app.include_router(config.router(undercroft))
    app.include_router(webhooks.router(undercroft))
    app.include_router(requests.router(undercroft))
    app.include_router(cache.router(undercroft))
    app.include_router(plans.router(undercroft))
    app.include_router(versions.router(undercroft))
    app.include_router(releases.router(undercroft))
    app.include_router(session.router(undercroft))
    app.include_router(users.router(undercroft))
    app.include_router(secrets.router(undercroft))
    app.include_router(audit.router(undercroft))

    async def known(request: Request, error: Exception) -> Response:
        return _answer(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _answer(request, InvalidRequest(f"{where}: {first['msg']}", param=where))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = tuple(Headers(error.headers).get("allow", "").split(", "))
            return _answer(request, MethodNotAllowed(f"This route does not take {request.method}.", allowed=allowed))
        if error.status_code != 404:
            return _answer(request, InvalidRequest("The request's body cannot be read.", code="invalid_json"))
        return _answer(request, NotFound(f"There is no {request.url.path} here.", code="unknown_route"))

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        UndercroftError: known,
        RequestValidationError: invalid,
        HTTPException: http,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    return app


def _answer(request: Request, error: Exception) -> Response:
    status, headers, body = envelope(error, request_id=request.scope["undercroft.request_id"])
    plain = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    return Response(body, status, plain, media_type="application/json")
