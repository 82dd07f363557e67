"""The supervisor's side of a reload, with processes that are coroutines: all of them change, or none does."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from undercroft.api.control import State, fetch_to_start, talking_to_supervisor
from undercroft.api.keeper import Keeper
from undercroft.api.reload import follow
from undercroft.errors import ConfigurationError, Unavailable
from undercroft.settings.model import Settings
from undercroft.settings.sources import Source
from undercroft.settings.transfer import unpack

GOOD = '[[models]]\nname = "{}"\ndeployments = [{{ provider = "scripted" }}]\n'


class Worker:
    """Has the settings that it was told to have; `picky` ones refuse a model of that name, `deaf` ones never ask."""

    def __init__(self, pid: int, family: "Family", *, picky: str = "", deaf: bool = False) -> None:
        self.pid = pid
        self._family = family
        self._picky = picky
        self._deaf = deaf
        self.model = ""
        self.refusal = ""

    async def hear(self) -> None:
        if not self._deaf:
            await follow(self._family.path, self._apply, pid=self.pid)

    async def _apply(self, state: State) -> None:
        self.refusal = state.refusal
        (model,) = unpack(bytes(state.settings)).models
        if model.name == self._picky:
            raise ConfigurationError(f"worker {self.pid} does not like {model.name}")
        self.model = model.name


class Family:
    """A keeper with its workers, in a folder with a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "control.sock"
        self.workers: list[Worker] = []
        self.applied: list[str] = []
        self._hearing: list[asyncio.Task[None]] = []
        self.write("first")
        source = Source(None, {}, folder)
        self.keeper = Keeper(
            source,
            source.load().settings,
            notify=self._notify,
            alive=lambda: {worker.pid for worker in self.workers},
            applied=self._note,
            patience_s=0.2,
        )

    def write(self, model: str) -> None:
        (self.folder / "undercroft.toml").write_text(GOOD.format(model))

    def spoil(self) -> None:
        (self.folder / "undercroft.toml").write_text('[[models]]\nname = "half')

    @property
    def models(self) -> list[str]:
        return [worker.model for worker in self.workers]

    def started(self) -> str:
        """The model of a process that starts now."""
        return unpack(bytes(fetch_to_start(self.path).settings)).models[0].name

    def _notify(self) -> set[int]:
        self._hearing += [asyncio.create_task(worker.hear()) for worker in self.workers]
        return {worker.pid for worker in self.workers}

    def _note(self, settings: Settings) -> None:
        self.applied.append(settings.models[0].name)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


def meanwhile(family: Family, story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with family.keeper.listening(family.path), asyncio.timeout(30):
            await story()

    asyncio.run(main())


def test_all_processes_change_and_later_ones_start_with_it(family: Family) -> None:
    async def story() -> None:
        family.workers = [Worker(1, family), Worker(2, family)]
        family.write("second")
        assert await family.keeper.reload() == ""
        assert family.models == ["second", "second"]
        assert family.applied == ["second"]
        assert family.keeper.has_changed
        assert await asyncio.to_thread(family.started) == "second"

    meanwhile(family, story)


def test_a_process_that_has_just_started_need_not_ask_before_anything_has_changed(family: Family) -> None:
    assert not family.keeper.has_changed


def test_a_bad_file_changes_nothing_and_everybody_knows_why(family: Family) -> None:
    async def story() -> None:
        family.workers = [Worker(1, family), Worker(2, family)]
        family.spoil()
        reason = await family.keeper.reload()
        assert reason.startswith("undercroft.toml:2")
        assert family.models == ["first", "first"]
        assert [worker.refusal for worker in family.workers] == [reason, reason]
        assert family.applied == []
        assert await asyncio.to_thread(family.started) == "first", "a process that is replaced starts all the same"

    meanwhile(family, story)


def test_what_one_process_cannot_apply_none_keeps(family: Family) -> None:
    async def story() -> None:
        family.workers = [Worker(1, family), Worker(2, family, picky="second"), Worker(3, family)]
        family.write("second")
        assert await family.keeper.reload() == "worker 2 does not like second"
        assert family.models == ["first", "first", "first"]
        assert family.applied == []

        family.write("third")
        assert await family.keeper.reload() == ""
        assert family.models == ["third", "third", "third"]

    meanwhile(family, story)


def test_a_process_that_does_not_answer_holds_up_nobody_for_long(family: Family) -> None:
    async def story() -> None:
        family.workers = [Worker(1, family), Worker(2, family, deaf=True)]
        family.write("second")
        assert await family.keeper.reload() == ""
        assert family.models == ["second", ""]

    meanwhile(family, story)


def test_a_change_that_takes_a_restart_is_refused(family: Family) -> None:
    async def story() -> None:
        with (family.folder / "undercroft.toml").open("a") as file:
            file.write("[server]\nport = 1\n")
        assert await family.keeper.reload() == "undercroft.toml:5: server.port was changed, and that takes a restart"

    meanwhile(family, story)


def test_several_that_ask_at_once_are_served_one_after_the_other(family: Family) -> None:
    async def story() -> None:
        family.workers = [Worker(1, family)]

        async def ask() -> str:
            async with talking_to_supervisor(family.path) as wire:
                return (await wire.reload()).refusal

        family.write("second")
        assert await asyncio.gather(*(ask() for _ in range(5))) == [""] * 5
        assert family.applied == ["second"] * 5
        assert family.models == ["second"]

    meanwhile(family, story)


def test_nonsense_on_its_socket_harms_nobody(family: Family) -> None:
    async def story() -> None:
        for nonsense in (b"", b"\n", b"{}\n", b'{"about": "news", "pid": 9}\nwhat?\n'):
            reader, writer = await asyncio.open_unix_connection(str(family.path))
            writer.write(nonsense)
            writer.write_eof()
            await reader.read()
            writer.close()
        assert await family.keeper.reload() == ""

    meanwhile(family, story)


def test_a_process_whose_supervisor_is_gone_is_told_so(tmp_path: Path) -> None:
    async def ask() -> None:
        async with talking_to_supervisor(tmp_path / "gone") as wire:
            await wire.news()

    with pytest.raises(Unavailable, match="supervisor"):
        asyncio.run(ask())
    with pytest.raises(Unavailable, match="supervisor"):
        fetch_to_start(tmp_path / "gone")
