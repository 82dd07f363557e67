"""Checks of live answers, beside the calls: what they say is feedback, and the gate `evaluation` counts it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from undercroft.assembly.beside import alongside
from undercroft.assembly.evaluation import Bench
from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.evaluation.check import Check, Checks
from undercroft.evaluation.checks.built_in import BUILT_IN
from undercroft.evaluation.online import DayPurse, Judged, judge
from undercroft.evaluation.suite import checks_of
from undercroft.evaluation.types import Answer, Case, Message
from undercroft.gateway.call import Call
from undercroft.gateway.gateway import Gateway
from undercroft.llm.types import ChatRequest
from undercroft.money import parse_usd
from undercroft.record import Who
from undercroft.releases.traffic import place
from undercroft.releases.types import ASIDE, ONLINE, SHADOW
from undercroft.settings.model import Settings
from undercroft.settings.releases import OnlineEvaluation, Releases
from undercroft.telemetry.logs import get_logger
from undercroft.versions.folder import read_file

if TYPE_CHECKING:
    from undercroft.assembly.releases import ReleaseOffice
    from undercroft.vectors.store import VectorStore

WAITING: Final = 256
"""Answers that wait to be judged; what comes on top is left out, and counted."""
AT_ONCE: Final = 2
ASK_LEDGER_S: Final = 5.0
DAY_US: Final = 86_400_000_000
Result = Literal["passed", "failed", "undecided", "left_out"]
_ROLES: Final = ("system", "developer", "user", "assistant")


class _Sampled(msgspec.Struct, frozen=True):
    call: Call
    text: str
    latency_ms: float


class _Wanted(msgspec.Struct, frozen=True):
    share: float
    checks: tuple[Check, ...]


class OnlineJudge:
    """Under one configuration. It is never in the way of a call: what it cannot take at once, it leaves out."""

    def __init__(
        self, settings: Settings, *, releases: "ReleaseOffice", store: "Callable[[], Awaitable[VectorStore]]"
    ) -> None:
        """`store` opens the vector store, for checks that search. Raises ConfigurationError for checks that cannot be
        used."""
        self._settings = settings
        self._link = releases.link
        self._book = releases.book
        self._ids = releases.ids
        self._clock = releases.clock
        self._counter = releases.evaluated
        self._store = store
        self._wanted: Mapping[str, _Wanted] = {each.alias: _wanted(each) for each in settings.releases.online}
        self._purse = DayPurse(parse_usd(settings.releases.online_max_cost))
        self._asked_ledger_at = float("-inf")
        self._waiting: asyncio.Queue[_Sampled] = asyncio.Queue(WAITING)

    def wants(self, call: Call) -> bool:
        """Whether an answer is in the share; always the same for one call."""
        wanted = self._wanted.get(call.trail.alias)
        if wanted is None or (call.endpoint in ASIDE and call.endpoint != SHADOW) or call.trail.cache:
            return False
        return place(b"online", call.id.encode()) < wanted.share

    def take(self, call: Call, text: str) -> None:
        """An answer to be judged, when there is time."""
        try:
            took_ms = round((self._clock.monotonic() - call.started) * 1000, 3)
            self._waiting.put_nowait(_Sampled(call, text, took_ms))
        except asyncio.QueueFull:
            self._count("left_out")

    @contextlib.asynccontextmanager
    async def running(self, gateway: Gateway) -> AsyncIterator[None]:
        """Judges for as long as the block lasts; what waits at its end is not judged."""
        async with alongside(*(self._run(gateway) for _ in range(AT_ONCE))):
            yield

    async def _run(self, gateway: Gateway) -> None:
        while True:
            sampled = await self._waiting.get()
            try:
                self._count(await self._result(sampled, gateway))
            except Exception as error:  # noqa: BLE001 - nobody waits for it: this answer is not judged, the next may be
                self._count("undecided")
                get_logger("undercroft.releases").warning("answer_not_evaluated", reason=str(error) or repr(error))

    async def _result(self, sampled: _Sampled, gateway: Gateway) -> Result:
        call = sampled.call
        await self._learn_spending()
        if not self._purse.begin():
            return "left_out"
        organisation = call.who.organisation
        bench = Bench(
            gateway,
            settings=self._settings,
            book=self._book,
            who=Who(organisation=organisation),  # who asked does not pay for it
            ids=self._ids,
            clock=self._clock,
            store=self._store,
            endpoint=ONLINE,
        )
        try:
            judged = await judge(_case(call), _answer(sampled), self._wanted[call.trail.alias].checks, bench)
        finally:
            self._purse.end(bench.spent_nano, now=self._clock.monotonic())
        if judged is None:
            return "undecided"
        await self._note(call, judged)
        return "passed" if judged.passed else "failed"

    async def _learn_spending(self) -> None:
        now = self._clock.monotonic()
        if now - self._asked_ledger_at >= ASK_LEDGER_S:
            from undercroft.releases.feedback import spent_online

            self._asked_ledger_at = now
            midnight_us = self._clock.now_us() // DAY_US * DAY_US
            self._purse.learn(await self._link.read(partial(spent_online, since_us=midnight_us)), now=now)

    async def _note(self, call: Call, judged: Judged) -> None:
        from undercroft.releases.feedback import Feedback, add

        given = Feedback(
            organisation=call.who.organisation,
            id=self._ids.new("fb_"),
            response=call.id,
            call=call.id,
            source="evaluation",
            score=float(judged.passed),
            label=", ".join(judged.failed)[:100],
            created_us=self._clock.now_us(),
        )
        await self._link.write(partial(add, given=given))

    def _count(self, result: Result) -> None:
        self._counter.labels(result).add()


def check_usable(settings: Releases) -> None:
    """Raises ConfigurationError for files of checks that cannot be used."""
    for each in settings.online:
        _wanted(each)


def _wanted(settings: OnlineEvaluation) -> _Wanted:
    return _Wanted(settings.share, _checks(settings.checks))


def _checks(path: Path) -> tuple[Check, ...]:
    """Raises ConfigurationError."""
    if not path.is_file():
        raise ConfigurationError(f"There is no file {path}, which [[releases.online]] names.")
    try:
        specs = checks_of(read_file(path), where=str(path))
        if not specs:
            raise InvalidRequest(f"{path}: there are no checks.")
        return tuple(Checks(BUILT_IN).of(Case(id=str(path), messages=(), checks=specs)))
    except InvalidRequest as error:
        raise ConfigurationError(
            error.message, hint="[[releases.online]] checks is a list as suites have it."
        ) from error


def _case(call: Call) -> Case:
    """The conversation as its caller has told it, without what is no text."""
    request = call.request
    assert isinstance(request, ChatRequest), "nothing else is sampled"
    turns = [
        Message(role=message.role, content=message.text())  # type: ignore[arg-type]  # looked at below
        for message in request.messages
        if message.role in _ROLES
    ]
    return Case(id=call.id, messages=tuple(turns))


def _answer(sampled: _Sampled) -> Answer:
    trail, usage = sampled.call.trail, sampled.call.trail.usage
    return Answer(
        text=sampled.text,
        release=trail.release,
        latency_ms=sampled.latency_ms,
        cost_nano=trail.cost_nano,
        input_tokens=usage.input if usage else 0,
        output_tokens=usage.output if usage else 0,
    )
