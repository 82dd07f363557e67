"""Keeps the configuration of all processes of one server: reads it once for all of them, and hands it out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

import msgspec

from undercroft.api.control import LONGEST_LINE_BYTES, Outcome, Question, Report, State, line
from undercroft.api.reload import read_anew, tell_applied, tell_refused
from undercroft.errors import ConfigurationError
from undercroft.settings.model import Settings
from undercroft.settings.sources import Source
from undercroft.settings.transfer import pack
from undercroft.telemetry.logs import get_logger

PATIENCE_S = 10.0
"""How long a process may take to change its configuration; one that takes longer changes it when it comes to it."""
LOOK_EVERY_S = 0.02


class Keeper:
    """All processes change, or none does.

    `notify` sends SIGHUP to every process that is ready, whereupon it asks for news here, and returns their pids;
    `alive` says which are still there. A process that starts later starts with what is in force, whatever the file
    says by then.
    """

    def __init__(
        self,
        source: Source,
        settings: Settings,
        *,
        notify: Callable[[], Collection[int]],
        alive: Callable[[], Collection[int]],
        applied: Callable[[Settings], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._source = source
        self._settings = settings
        self._notify = notify
        self._alive = alive
        self._applied = applied
        self._patience_s = patience_s
        self._state = State(edition=1, generation=1, settings=msgspec.Raw(pack(settings)))
        self._confirmed = self._state
        self._one_at_a_time = asyncio.Lock()
        self._reports: dict[int, Report] = {}
        self._logger = get_logger("undercroft.configuration")

    @property
    def has_changed(self) -> bool:
        """Whether anything was to be told since the start."""
        return self._state.edition > 1

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Answers processes for as long as the block lasts."""
        server = await asyncio.start_unix_server(self._converse, str(path), limit=LONGEST_LINE_BYTES)
        try:
            yield
        finally:
            server.close()

    async def reload(self) -> str:
        """Reads the configuration and has all processes change to it. Why not, if they do not."""
        async with self._one_at_a_time:
            former = self._confirmed
            try:
                loaded = await read_anew(self._source, self._settings)
            except ConfigurationError as error:
                return await self._refuse(str(error))
            generation = former.generation + 1
            failure = await self._spread(former, generation=generation, settings=msgspec.Raw(pack(loaded.settings)))
            if failure:
                return await self._refuse(failure)
            self._confirmed, self._settings = self._state, loaded.settings
            self._applied(loaded.settings)
            tell_applied(self._logger, generation, loaded)
            return ""

    async def _refuse(self, reason: str) -> str:
        """Everybody keeps, or goes back to, what was confirmed, and knows why."""
        tell_refused(self._logger, reason)
        confirmed = self._confirmed
        await self._spread(confirmed, generation=confirmed.generation, settings=confirmed.settings, refusal=reason)
        self._confirmed = self._state
        return reason

    async def _spread(self, former: State, *, generation: int, settings: msgspec.Raw, refusal: str = "") -> str:
        """Has every process see to a new state; the first failure that one reports."""
        edition = self._state.edition + 1
        self._state = State(edition=edition, generation=generation, settings=settings, refusal=refusal)
        waiting = set(self._notify())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while waiting:
                    await asyncio.sleep(LOOK_EVERY_S)
                    answered = {pid for pid in waiting if self._reports.get(pid, _NONE).edition >= edition}
                    waiting = (waiting - answered) & set(self._alive())
        if waiting:
            self._logger.warning("processes_late_to_reload", pids=sorted(waiting))
        failures = [report.failure for report in self._reports.values() if report.edition == edition]
        self._reports = {pid: report for pid, report in self._reports.items() if pid in self._alive()}
        return next(filter(None, failures), "")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = msgspec.json.decode(await reader.readline(), type=Question)
            match question.about:
                case "start":
                    writer.write(line(self._confirmed))
                case "news":
                    writer.write(line(self._state))
                    self._reports[question.pid] = msgspec.json.decode(await reader.readline(), type=Report)
                case _:
                    writer.write(line(Outcome(refusal=await self.reload())))
            await writer.drain()
        except (OSError, msgspec.DecodeError) as error:  # it died in the middle; its successor asks anew
            self._logger.debug("process_hung_up", reason=str(error))
        finally:
            writer.close()


_NONE = Report(edition=0)
