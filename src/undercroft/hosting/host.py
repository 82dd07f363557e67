"""Brings versions up side by side, moves traffic between them, and takes it back: the doing part.

One thing at a time, and every change is on disk before it happens, so that a host that is killed in the middle is
continued by its successor. No version depends on the host: while there is none, they serve what they were given.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from undercroft.api.figures import Figures
from undercroft.clock import Clock
from undercroft.errors import Conflict, Unavailable, UndercroftError
from undercroft.hosting.gates import judge
from undercroft.hosting.runner import Runner
from undercroft.hosting.types import Gate, Move, Rollout, Stage, State, Version, pruned, shares
from undercroft.telemetry.logs import get_logger

LOOK_EVERY_S: Final = 0.2
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
AT_ONCE: Final = Rollout(steps=(100,), step_s=0, bake_s=0)

Tell = Callable[[str], None]


class RolledBack(UndercroftError):
    """A version was not good enough: the one before has all traffic again."""

    code = "rolled_back"


class Host:
    """All versions behind one port."""

    def __init__(self, state: State, runner: Runner, *, save: Callable[[State], None], clock: Clock) -> None:
        self.state = state
        self._runner = runner
        self._save = save
        self._clock = clock
        self._turn = asyncio.Lock()
        self._recall: str = ""
        """Why the move that is under way is to be taken back, where somebody wants it to."""
        self._served: dict[str, tuple[int, ...]] = {}
        self._dead: set[str] = set()
        """Those that ended without being told to."""
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        """Versions that have been told to stop and are about to be gone."""
        self._repairs: set[asyncio.Task[None]] = set()
        self._logger = get_logger("undercroft.host")

    # What it is told to do.

    async def up(self, version: Version, gate: Gate, tell: Tell) -> str:
        """Starts a version and lets it show that it works. The first one gets the traffic, any other waits for
        `switch`. Raises UndercroftError, and then the version is gone and nothing else has changed."""
        async with self._turn:
            if (candidate := self.state.candidate) is not None:
                raise Conflict(
                    f"{candidate.name} is up already and waits for traffic.", hint="Switch to it, or roll back, first."
                )
            if (there := self.state.version(version.name)) is not None and there.is_living:
                raise Conflict(f"There is a version {version.name}, and it runs.", hint="Name another.")
            tell(f"{version.name}: looking whether the database fits")
            await self._runner.migrate(version, self.state)
            version = await self._start(version, gate, tell)
            if not self.state.active:
                self._put(replace(version, stage="serving"), active=version.name)
                await self._apply()
                return f"{version.name} is up and serves."
            return f"{version.name} is up beside {self.state.active} and waits for traffic: undercroft deploy switch"

    async def switch(self, rollout: Rollout, tell: Tell) -> str:
        """Moves the traffic to the version that waits for it. Raises RolledBack."""
        async with self._turn:
            candidate = self.state.candidate
            if candidate is None:
                raise Conflict("There is no version that waits for traffic.", hint="Type: undercroft deploy up")
            self._recall = ""
            self._change(move=Move(source=self.state.active, target=candidate.name, rollout=rollout))
            return await self._move(tell)

    async def rollback(self, gate: Gate, tell: Tell) -> str:
        """Back to the version before: at once where it still runs, else it is started again."""
        if (move := self.state.move) is not None:
            self._recall = "it was asked for"
            async with self._turn:  # free when the move has ended
                if self.state.active != move.target:
                    return f"{self.state.active} has all traffic again; {move.target} was taken back."
        async with self._turn:
            if (candidate := self.state.candidate) is not None:
                await self._end(candidate, "stopped", "rolled back before it had traffic")
                return f"{candidate.name} is stopped; {self.state.active} goes on."
            former = self.state.version(self.state.former)
            if former is None:
                raise Conflict("There is no version before this one.")
            former = await self._spared(former)
            if not former.is_living or former.name in self._dead:
                former = await self._start(former, gate, tell)
            self._change(move=Move(source=self.state.active, target=former.name, rollout=AT_ONCE))
            return await self._move(tell)

    async def down(self, tell: Tell) -> str:
        """Stops every version, with what they are answering."""
        async with self._turn:
            names = [each.name for each in self.state.versions if each.is_living]
            for name in names:
                version = self.state.version(name)
                assert version is not None
                tell(f"{name}: stopping")
                await self._end(version, "stopped", "taken down")
            return f"{', '.join(names) or 'Nothing'} stopped."

    # How it begins and ends.

    async def resume(self, tell: Tell) -> None:
        """Takes over what a former host has left: versions that run are adopted as they are, the active one is started
        anew where it does not, and a move goes on from its step."""
        for version in self.state.versions:
            if version.is_living:
                await self._adopt(version)
        move = self.state.move
        if move is not None and move.target in self._dead:
            tell(f"{move.target} has died in the middle of the switch: {move.source} keeps the traffic")
            self._change(move=None)
        elif move is not None and move.source in self._dead:
            tell(f"{move.source} has died in the middle of the switch: {move.target} has the traffic")
            self._change(move=None, active=move.target)
        active = self.state.version(self.state.active)
        if active is not None and (not active.is_living or active.name in self._dead):
            tell(f"{active.name} does not run: starting it again")
            self._dead.add(active.name)
            await self._repair(active.name, tries=1)
        await self._apply()
        for version in self.state.versions:
            if version.stage == "draining" and version.name not in self._dead:
                self._drain(version)

    async def proceed(self, tell: Tell) -> str:
        """Goes on with the move that a former host had begun, if there is one."""
        async with self._turn:
            return await self._move(tell) if self.state.move is not None else ""

    async def close(self) -> None:
        """Lets go of everything; versions go on."""
        tasks = [*self._watches.values(), *self._drains.values(), *self._repairs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Traffic.

    async def _move(self, tell: Tell) -> str:
        move = self.state.move
        assert move is not None
        source, target, rollout = move.source, move.target, move.rollout
        try:
            for step in range(move.step, len(rollout.steps)):
                self._change(move=replace(move, step=step))
                await self._apply()
                is_last = step + 1 == len(rollout.steps)
                tell(f"{target} has {rollout.steps[step]} % of the traffic")
                await self._watch(source, target, rollout, rollout.bake_s if is_last else rollout.step_s)
        except UndercroftError as error:
            return await self._take_back(source, target, str(error).rstrip("."))
        former, fresh = self.state.version(source), self.state.version(target)
        assert former is not None
        assert fresh is not None
        self._change(move=None, active=target, former=source)
        self._put(replace(fresh, stage="serving", reason=""))
        if former.is_living:
            self._put(replace(former, stage="draining"))
            self._drain(former)
        self._prune()
        return f"{target} has all traffic; {source} finishes what it is answering."

    async def _watch(self, source: str, target: str, rollout: Rollout, seconds: float) -> None:
        """Looks at both for a while. Raises UndercroftError for what speaks against the new one."""
        began = {name: await self._figures(name) for name in (source, target)}
        left_s = seconds
        while True:
            if self._recall:
                raise UndercroftError(self._recall)
            if target in self._dead:
                raise UndercroftError("it died")
            if source in self._dead:
                return  # nobody to go back to, and the new one works
            green = (await self._report(target)).since(began[target])
            blue = (await self._figures(source)).since(began[source])
            if reason := judge(green, blue, rollout, is_over=left_s <= 0):
                raise UndercroftError(reason)
            if left_s <= 0:
                return
            await self._clock.sleep(min(LOOK_EVERY_S, left_s))
            left_s -= LOOK_EVERY_S

    async def _take_back(self, source: str, target: str, reason: str) -> str:
        self._change(move=None)
        await self._apply({source: tuple(range(self.state.lanes)), target: ()})
        self._logger.warning("rolled_back", version=target, to=source, reason=reason)
        failed = self.state.version(target)
        assert failed is not None
        self._put(replace(failed, stage="draining", reason=reason))
        self._drain(failed, ends_as="failed", reason=reason)
        raise RolledBack(f"{target} was taken back, {source} has all traffic again: {reason}.")

    async def _apply(self, wanted: dict[str, tuple[int, ...]] | None = None) -> None:
        """Gives each version its lanes: those that get some first, so that no lane is without a version."""
        wanted = shares(self.state) if wanted is None else wanted
        gaining = [name for name, lanes in wanted.items() if set(lanes) - set(self._served.get(name, ()))]
        for name in (*gaining, *(each for each in wanted if each not in gaining)):
            version = self.state.version(name)
            if version is None or name in self._dead:
                continue
            try:
                await self._runner.serve(version, wanted[name])
            except Unavailable as error:
                if self.state.move is not None and name == self.state.move.target:
                    raise
                self._logger.warning(
                    "lanes_not_served", version=name, reason=str(error)
                )  # it is about to be found dead
                continue
            self._served[name] = wanted[name]

    async def _figures(self, name: str) -> Figures:
        """Nothing where it does not answer."""
        try:
            return await self._report(name)
        except Unavailable:
            return Figures()

    async def _report(self, name: str) -> Figures:
        version = self.state.version(name)
        assert version is not None
        return await self._runner.figures(version)

    # Versions.

    async def _start(self, version: Version, gate: Gate, tell: Tell) -> Version:
        """A version that works. Raises UndercroftError; then it is ended."""
        tell(f"{version.name}: starting")
        try:
            version = await self._launch(version, within_s=gate.start_timeout_s)
            tell(f"{version.name}: trying it out")
            if reason := await self._runner.try_out(version, gate):
                raise UndercroftError(reason)
        except UndercroftError as error:
            reason = str(error).rstrip(".")
            await self._end(version, "failed", reason)
            goes_on = f" {self.state.active} goes on as before." if self.state.active else ""
            raise UndercroftError(f"{version.name} was not let in: {reason}.{goes_on}") from error
        version = replace(version, stage="ready", reason="")
        self._put(version)
        return version

    async def _launch(self, version: Version, *, within_s: float) -> Version:
        self._dead.discard(version.name)
        process = await self._runner.launch(version, self.state)
        version = replace(version, stage="starting", process=process, reason="")
        self._put(version)
        self._observe(version)
        report = await self._runner.ready(version, within_s=within_s)
        version = replace(version, undercroft=report.undercroft, schema=report.schema)
        self._put(version)
        return version

    async def _adopt(self, version: Version) -> None:
        report = await self._runner.adopt(version)
        if report is None:
            self._dead.add(version.name)
            if version.name != self.state.active:
                self._put(replace(version, stage="stopped", reason="it ended while there was no host"))
            return
        self._served[version.name] = report.lanes
        self._observe(version)
        if version.stage == "starting":
            await self._end(version, "failed", "the host died while it was starting")

    async def _revive(self, version: Version) -> bool:
        """Starts the active version again: what comes meanwhile queues in the lanes."""
        try:
            version = await self._launch(version, within_s=Gate().start_timeout_s)
        except UndercroftError as error:
            self._logger.warning("version_not_started", version=version.name, reason=str(error))
            if (watch := self._watches.pop(version.name, None)) is not None:
                watch.cancel()
            self._dead.add(version.name)
            await self._runner.stop(version, at_once=True)
            return False
        self._put(replace(version, stage="serving"))
        await self._apply()
        return True

    def _observe(self, version: Version) -> None:
        if (former := self._watches.pop(version.name, None)) is not None:
            former.cancel()
        self._watches[version.name] = asyncio.create_task(self._until_ended(version))

    async def _until_ended(self, version: Version) -> None:
        await self._runner.ended(version)
        self._dead.add(version.name)
        self._served.pop(version.name, None)
        self._logger.warning("version_died", version=version.name)
        self._repair_later(version.name)

    def _repair_later(self, name: str) -> None:
        repair = asyncio.create_task(self._repair(name))
        self._repairs.add(repair)
        repair.add_done_callback(self._repairs.discard)

    async def _repair(self, name: str, *, tries: int | None = None) -> None:
        """The active version is started again until it runs, any other is given up; whatever else is to be done has
        its turn in between."""
        pause_s = FIRST_PAUSE_S
        while tries is None or tries:
            async with self._turn:
                version = self.state.version(name)
                if version is None or not version.is_living or name not in self._dead:
                    return
                if name != self.state.active:
                    self._put(replace(version, stage="failed", reason=version.reason or "it ended by itself"))
                    return
                if await self._revive(version):
                    return
            tries = None if tries is None else tries - 1
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._repair_later(name)

    def _drain(self, version: Version, *, ends_as: Stage = "stopped", reason: str = "") -> None:
        async def drain() -> None:
            left_s = self.state.drain_s
            while left_s > 0 and (await self._figures(version.name)).connections:
                await self._clock.sleep(LOOK_EVERY_S)
                left_s -= LOOK_EVERY_S
            await self._end(version, ends_as, reason)
            self._drains.pop(version.name, None)
            self._prune()

        self._drains[version.name] = asyncio.create_task(drain())

    async def _spared(self, former: Version) -> Version:
        """It goes on where it only finishes what it is answering; where it ends already, as it is when it has."""
        drain = self._drains.get(former.name)
        if drain is None:
            return former
        if former.name not in self._ending:
            del self._drains[former.name]
            drain.cancel()
            return former
        await drain
        return self.state.version(former.name) or former

    async def _end(self, version: Version, stage: Stage, reason: str) -> None:
        if (watch := self._watches.pop(version.name, None)) is not None:
            watch.cancel()
        drain = self._drains.get(version.name)
        if drain is not None and drain is not asyncio.current_task():
            del self._drains[version.name]
            drain.cancel()
        self._ending.add(version.name)
        try:
            await self._runner.stop(version)
        finally:
            self._ending.discard(version.name)
        self._served.pop(version.name, None)
        self._put(replace(self.state.version(version.name) or version, stage=stage, reason=reason, process=None))

    # What is on disk.

    def _put(self, version: Version, *, active: str | None = None) -> None:
        state = self.state.put(version)
        self._take(state if active is None else replace(state, active=active))

    def _change(self, *, move: Move | None, active: str | None = None, former: str | None = None) -> None:
        state = replace(self.state, move=move)
        if active is not None:
            state = replace(state, active=active)
        self._take(state if former is None else replace(state, former=former))

    def _prune(self) -> None:
        state, surplus = pruned(self.state)
        if surplus:
            self._take(state)
            for name in surplus:
                self._runner.forget(name)

    def _take(self, state: State) -> None:
        self._save(state)
        self.state = state
