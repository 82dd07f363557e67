"""Every error undercroft raises: one tree, each with its code, HTTP status, and whether trying again may help.

`wire/errors.py` turns these into bytes; `cli` turns them into one line and an exit code.
Retry, breaker and fallback read `retryable`, never the message.
"""

from collections.abc import Mapping


class UndercroftError(Exception):
    """Something undercroft can explain.

    `message` says what happened and where, `hint` what to do about it. `param` names the offending
    field of a request, as OpenAI's envelope wants it. `retry_after_s` becomes `Retry-After`.
    """

    code = "internal_error"
    status = 500
    kind = "server_error"
    """The envelope's `type`, in OpenAI's vocabulary."""
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.hint = hint
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class ConfigurationError(UndercroftError):
    """The operator's settings cannot be used; the process ends with exit code 2 before the port opens."""

    code = "configuration_error"


class ConfigurationRefused(UndercroftError):
    """What was read again cannot be put in force; the server goes on with what it had."""

    code, status, kind = "configuration_refused", 422, "invalid_request_error"


class InvalidRequest(UndercroftError):
    """The caller sent something that no retry will make right."""

    code, status, kind = "invalid_request", 400, "invalid_request_error"


class TooLarge(InvalidRequest):
    """The body exceeds the route's limit."""

    code, status = "request_too_large", 413


class AddressRefused(InvalidRequest):
    """A URL that came through the API leads to an address, port or scheme that such URLs may not reach."""

    code = "address_refused"


class NotAuthenticated(UndercroftError):
    """No credential, or one that is not known."""

    code, status, kind = "invalid_api_key", 401, "authentication_error"


class NotAllowed(UndercroftError):
    """A known caller without the right to do this."""

    code, status, kind = "permission_denied", 403, "permission_error"


class NotFound(UndercroftError):
    """No such thing, or not for this caller."""

    code, status, kind = "not_found", 404, "invalid_request_error"


class ModelNotFound(NotFound):
    """No model of that name is configured."""

    code = "model_not_found"


class MethodNotAllowed(UndercroftError):
    """The route exists, but not for this method."""

    code, status, kind = "method_not_allowed", 405, "invalid_request_error"

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class UnsupportedEncoding(UndercroftError):
    """The body came compressed, or otherwise encoded."""

    code, status, kind = "unsupported_encoding", 415, "invalid_request_error"


class Conflict(UndercroftError):
    """The state of the thing forbids this."""

    code, status, kind = "conflict", 409, "invalid_request_error"


class Misdirected(UndercroftError):
    """The request's Host is not one this server answers for."""

    code, status, kind = "misdirected_request", 421, "invalid_request_error"


class LimitReached(UndercroftError):
    """A limit of this caller's is used up for now."""

    code, status, kind = "limit_reached", 429, "rate_limit_error"


class RateLimited(LimitReached):
    """Too many requests or tokens in the window."""

    code = "rate_limit_exceeded"
    retryable = True


class BeyondLimit(RateLimited):
    """One call wants more than the whole of a window: no wait will do."""

    retryable = False


class BudgetSpent(LimitReached):
    """The money set aside is spent."""

    code, kind = "insufficient_quota", "insufficient_quota"


class UpstreamError(UndercroftError):
    """A model provider did not give a usable answer.

    `upstream_status` is the provider's HTTP status where it gave one.
    """

    code, status, kind = "upstream_error", 502, "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
        retry_after_s: float | None = None,
        upstream_status: int | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param, hint=hint, retry_after_s=retry_after_s)
        self.upstream_status = upstream_status


class UpstreamRefused(UpstreamError):
    """The provider understood and said no (4xx): the caller's request, or our credential, is at fault.

    A 4xx that concerns the caller's request (400, 404, 413, 422) is passed on with its own status;
    our own credential's 401 and 403 become 502, since the caller cannot mend them.
    """

    code = "upstream_refused"

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int,
        code: str | None = None,
        param: str | None = None,
        kind: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param, hint=hint, upstream_status=upstream_status)
        if upstream_status not in (401, 402, 403, 407):
            self.status = upstream_status
            self.kind = kind or "invalid_request_error"


class UpstreamOverloaded(UpstreamError):
    """The provider asked us to slow down, or failed on its side (429, 5xx)."""

    code, status, retryable = "upstream_overloaded", 503, True


class UpstreamTimedOut(UpstreamError):
    """The provider stayed silent for longer than allowed."""

    code, status, retryable = "upstream_timeout", 504, True


class UpstreamUnreachable(UpstreamError):
    """No connection, or it broke before a whole answer came."""

    code, status, retryable = "upstream_unreachable", 502, True


class UpstreamGarbled(UpstreamError):
    """What came back is not what the provider's format promises."""

    code, status, retryable = "upstream_invalid", 502, True


class Unavailable(UndercroftError):
    """Something undercroft itself needs (database, disk, a loading model) is away for now."""

    code, status, kind, retryable = "unavailable", 503, "server_error", True


class NoDeployment(Unavailable):
    """No deployment of the model can take the call now: they are full, or rest after failures."""

    code = "no_deployment"


class UnreadableSecret(UndercroftError):
    """A stored secret cannot be decrypted with the keys there are."""

    code = "unreadable_secret"


class MissingExtra(ConfigurationError):
    """An optional dependency is not installed."""

    code = "missing_extra"

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(
            f"{what} needs a package that is not installed.", hint=f"Type: pip install 'undercroft[{extra}]'"
        )


class ClientClosed(UndercroftError):
    """The caller left before the answer was complete (status 499, as nginx books it)."""

    code, status, kind = "client_closed", 499, "client_closed"


def describe(error: BaseException) -> Mapping[str, object]:
    """The fields a log line or record wants of any error."""
    if isinstance(error, UndercroftError):
        return {"code": error.code, "status": error.status, "message": error.message}
    return {"code": UndercroftError.code, "status": UndercroftError.status, "message": type(error).__name__}
