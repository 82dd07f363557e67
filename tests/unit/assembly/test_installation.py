"""Another configuration takes the place of the one in force; what was begun under that one ends under it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from undercroft.assembly import Installation, Undercroft, installed
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import Origin
from undercroft.errors import ConfigurationError, Conflict, ModelNotFound, Unavailable
from undercroft.gateway.call import Call
from undercroft.llm.types import ChatRequest, Message
from undercroft.record import CallRecord, Who
from undercroft.settings.model import Deployment, Model, Server, Settings


def settings(folder: Path, *names: str, grace_s: float = 30.0, provider: str = "scripted") -> Settings:
    """A scripted model of each name, which says its name."""
    deployments = {name: (Deployment(provider=provider, script=f"I am {name}."),) for name in names}
    return Settings(
        data_dir=folder,
        server=Server(shutdown_grace_s=grace_s),
        models=tuple(Model(name=name, deployments=each) for name, each in deployments.items()),
    )


@asynccontextmanager
async def installation(first: Settings) -> AsyncIterator[Installation]:
    async with installed(first, log_calls=False) as running:
        yield running


async def replace(running: Installation, with_these: Settings) -> Undercroft:
    fresh = await running.prepare(with_these)
    running.enforce(fresh, generation=running.reloads.generation + 1)
    return fresh.undercroft


async def asked(undercroft: Undercroft, model: str) -> str:
    call = Call(
        id=undercroft.ids.new("req_"),
        endpoint="/v1/chat/completions",
        who=Who(),
        request=ChatRequest(model=model, messages=(Message(role="user", content="Who?"),)),
        started_us=undercroft.clock.now_us(),
        started=undercroft.clock.monotonic(),
        deadline=undercroft.clock.monotonic() + 60,
    )
    return (await (await undercroft.gateway.send(call)).read()).text()


def test_new_models_answer_and_removed_ones_are_unknown_while_the_former_still_knows_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(settings(tmp_path, "old", "kept")) as running:
            former = running.current
            current = await replace(running, settings(tmp_path, "kept", "new"))
            assert running.current is current
            assert await asked(current, "new") == "I am new."
            with pytest.raises(ModelNotFound):
                await asked(current, "old")
            assert await asked(former, "old") == "I am old.", "a call that had begun would end as it began"

    asyncio.run(main())


def test_what_lasts_is_the_same_before_and_after(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(settings(tmp_path, "a")) as running:
            former = running.current
            current = await replace(running, settings(tmp_path, "b"))
            for part in ("keeper", "recorder", "metrics", "link", "keys", "bundled", "ids", "clock", "reloads"):
                assert getattr(current, part) is getattr(former, part), part
            for part in ("gateway", "door", "settings", "under_way"):
                assert getattr(current, part) is not getattr(former, part), part

    asyncio.run(main())


def test_what_cannot_be_built_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(settings(tmp_path, "a")) as running:
            former = running.current
            with pytest.raises(ConfigurationError, match="There is no provider 'nobody'"):
                await running.prepare(settings(tmp_path, "b", provider="nobody"))
            assert running.current is former
            assert running.reloads.generation == 1
            assert await asked(former, "a") == "I am a."

    asyncio.run(main())


def test_a_new_models_name_becomes_a_label(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(settings(tmp_path, "a")) as running:
            await replace(running, settings(tmp_path, "b"))
            for model in ("b", "never-configured"):
                running.current.metrics.observe(
                    CallRecord(
                        id="req_1", started_us=1, duration_us=1, who=Who(), endpoint="/e", model=model, status=200
                    )
                )
            scrape = running.current.scrape("")[1].decode()
            assert 'model="b"' in scrape
            assert "never-configured" not in scrape

    asyncio.run(main())


async def refused_to_connect(undercroft: Undercroft, *, folder: Path) -> str:
    """Why its client opens no connection."""
    head = request_head("GET", "/", host="localhost", fields={})
    with pytest.raises(Unavailable) as closed:
        await undercroft.client.send(Origin("unix", str(folder / "nobody")), head, b"")
    return closed.value.message


def test_the_formers_connections_close_when_its_last_request_has_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(settings(tmp_path, "a")) as running:
            former = running.current
            former.under_way.begin()
            await replace(running, settings(tmp_path, "b"))
            assert len(running.ending) == 1
            former.under_way.end()
            async with asyncio.timeout(10):
                await asyncio.gather(*running.ending)
            assert "configuration was replaced" in await refused_to_connect(former, folder=tmp_path)

    asyncio.run(main())


def test_an_answer_that_outlasts_the_grace_does_not_keep_the_former(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(settings(tmp_path, "a", grace_s=0.01)) as running:
            former = running.current
            former.under_way.begin()
            await replace(running, settings(tmp_path, "b", grace_s=0.01))
            async with asyncio.timeout(10):
                await asyncio.gather(*running.ending)
            assert "shutdown_grace_s" in await refused_to_connect(former, folder=tmp_path)

    asyncio.run(main())


def test_shutting_down_does_not_wait_for_the_former(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            async with installation(settings(tmp_path, "a")) as running:
                running.current.under_way.begin()
                await replace(running, settings(tmp_path, "b"))

    asyncio.run(main())


ENDED_AT_ONCE = """
import asyncio, sys, threading
from pathlib import Path
from undercroft.assembly import assemble
from undercroft.settings.model import Settings

class Watch:
    def find_spec(self, name, path=None, target=None):
        assert name != "sqlalchemy" or threading.current_thread() is not threading.main_thread(), "half of it"

async def main():
    async with assemble(Settings(data_dir=Path(sys.argv[1]))):
        pass

sys.meta_path.insert(0, Watch())
asyncio.run(main())
"""


def test_a_server_that_ends_at_once_leaves_importing_the_database_to_the_thread_that_opens_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDED_AT_ONCE, str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_a_refused_configuration_degrades_and_is_not_told_to_everybody(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(settings(tmp_path, "a")) as running:
            running.reloads.refused("undercroft.toml:1: a line that only the operator may read")
            health = running.current.health()
            assert "only the operator" not in health.checks["configuration"]
            assert (health.degraded, health.failing) == (True, ())
            await replace(running, settings(tmp_path, "b"))
            assert "configuration" not in running.current.health().checks

    asyncio.run(main())


def test_settings_that_a_program_gave_cannot_be_read_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(settings(tmp_path, "a")) as running:
            with pytest.raises(Conflict, match="given by the program"):
                await running.current.reload()

    asyncio.run(main())


def test_the_clock_tells_when_it_was_loaded(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with installed(settings(tmp_path, "a"), clock=clock, log_calls=False, generation=7) as running:
            assert (running.reloads.generation, running.reloads.loaded_us) == (7, clock.now_us())

    asyncio.run(main())
