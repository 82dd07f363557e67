"""Users' own functions as jobs: `@job("name")` marks one, and a server that names its module runs it."""

import asyncio
import inspect
import threading
import typing
from collections.abc import Callable, Iterator
from contextvars import copy_context
from types import ModuleType
from typing import Any, Final, TypeVar

import msgspec

from undercroft.errors import ConfigurationError
from undercroft.jobs.handlers import JobContext
from undercroft.jobs.types import Job, Limits
from undercroft.wire.body import read

F = TypeVar("F", bound=Callable[..., Any])

MARK: Final = "__undercroft_job__"
STOP_S: Final = 5.0
"""How long a function in a thread is waited for once it was told to end."""


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """What the decorator was told; None: as the settings say."""

    kind: str
    max_attempts: int
    timeout_s: float | None
    soft_timeout_s: float | None
    deadline_s: float | None

    def limits(self, usual: Limits) -> Limits:
        told = {"timeout_us": self.timeout_s, "soft_timeout_us": self.soft_timeout_s, "lifetime_us": self.deadline_s}
        given = {name: round(seconds * 1_000_000) for name, seconds in told.items() if seconds is not None}
        return msgspec.structs.replace(usual, max_attempts=self.max_attempts, **given)


def job(
    name: str,
    *,
    max_attempts: int = 4,
    timeout_s: float | None = None,
    soft_timeout_s: float | None = None,
    deadline_s: float | None = None,
) -> Callable[[F], F]:
    """Makes a function, sync or async, the handler of jobs of kind `name`.

    The input's fields are its parameters, checked against their annotations before a job is accepted; a parameter
    annotated `JobContext` gets the running job's context instead. What it returns is the job's result. Nothing is
    registered: a server runs the functions of the modules in `[jobs] modules`. After `soft_timeout_s` a run is told to
    end; after `timeout_s` it has failed, whether or not it ends.
    """
    marked = Marked(
        kind=name,
        max_attempts=max_attempts,
        timeout_s=timeout_s,
        soft_timeout_s=soft_timeout_s,
        deadline_s=deadline_s,
    )

    def mark(function: F) -> F:
        setattr(function, MARK, marked)
        return function

    return mark


def functions_in(module: ModuleType, usual: Limits) -> "Iterator[FunctionHandler]":
    """A handler for each marked function of a module. Raises ConfigurationError for one that cannot be called."""
    for value in vars(module).values():
        marked = getattr(value, MARK, None)
        if isinstance(marked, Marked):
            yield FunctionHandler(value, marked, usual)


class FunctionHandler:
    """Calls a function with the input's fields."""

    def __init__(self, function: Callable[..., Any], marked: Marked, usual: Limits) -> None:
        self.kind = marked.kind
        self.limits = marked.limits(usual)
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        fields, self._context_name = _parameters(function, marked.kind)
        struct = msgspec.defstruct("Input", fields, kw_only=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(struct, dec_hook=_from_json)

    def check(self, input: bytes, /) -> str:
        read(self._decoder, input)
        return ""

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        given = msgspec.structs.asdict(self._decoder.decode(job.input))
        if self._context_name is not None:
            given[self._context_name] = context
        result = await (self._function(**given) if self._is_async else _in_thread(self._function, given))
        return msgspec.json.encode(result, enc_hook=_to_json)


def _parameters(function: Callable[..., Any], kind: str) -> tuple[list[tuple[str, Any, Any]], str | None]:
    """Name, type and default of each parameter that the input gives, and the name of the one for the context."""
    where = f"The job {kind!r} ({function.__module__}.{function.__qualname__})"
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(f"{where} has an annotation that cannot be read: {error}.") from error
    fields: list[tuple[str, Any, Any]] = []
    context_name = None
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigurationError(f"{where} takes *arguments: an input has only named fields.")
        if hints.get(name) is JobContext:
            context_name = name
            continue
        default = msgspec.NODEFAULT if parameter.default is parameter.empty else parameter.default
        fields.append((name, hints.get(name, Any), _fresh(default)))
    return fields, context_name


def _fresh(default: Any) -> Any:
    """A default that calls do not share."""
    if isinstance(default, list | dict | set) and default:
        return msgspec.field(default_factory=lambda: type(default)(default))
    return default


def _from_json(wanted: type[Any], value: Any) -> Any:
    """Types that msgspec does not know but that can be made from JSON, such as pydantic's models."""
    validate = getattr(wanted, "model_validate", None)
    if validate is None:
        raise NotImplementedError(f"{wanted} cannot be made from JSON")
    return validate(value)


def _to_json(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise NotImplementedError(f"a {type(value).__name__} cannot be a job's result")
    return dump(mode="json")


async def _in_thread(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Calls it in a thread of its own, which holds nobody up: not the loop, and not the end of the process."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    def call() -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = function(**given)
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
            failure = error
        try:
            loop.call_soon_threadsafe(tell, result, failure)
        except RuntimeError:
            return  # the loop is gone, and nobody waits

    context = copy_context()
    threading.Thread(target=context.run, args=(call,), name="undercroft-job", daemon=True).start()
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        # It was told to end (`JobContext.check`) and is given a moment: nobody can interrupt a thread.
        done, _ = await asyncio.wait({outcome}, timeout=STOP_S)
        if done:
            return outcome.result()
        raise
