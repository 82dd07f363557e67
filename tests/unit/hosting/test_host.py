"""Bringing versions up, switching, going back, dying in the middle: by versions that exist only in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from tests.support.hosting import LANES, STATE, FakeRunner, FakeVersion, World
from undercroft.api.figures import Figures
from undercroft.errors import Conflict, UndercroftError
from undercroft.hosting.host import RolledBack
from undercroft.hosting.types import Gate, Rollout, State

pytestmark = pytest.mark.anyio

ROLLOUT = Rollout(steps=(5, 50, 100), step_s=1, bake_s=2)


@asynccontextmanager
async def world(runner: FakeRunner | None = None, state: State = STATE) -> AsyncIterator[World]:
    made = World(runner, state)
    try:
        yield made
    finally:
        await made.host.close()


@asynccontextmanager
async def two_up(candidate: FakeVersion | None = None) -> AsyncIterator[World]:
    async with world() as made:
        await made.up("v1")
        await made.up("v2", candidate)
        yield made


def switch(made: World, rollout: Rollout = ROLLOUT) -> "asyncio.Task[str]":
    return asyncio.create_task(made.host.switch(rollout, made.told.append))


def rollback(made: World) -> "asyncio.Task[str]":
    return asyncio.create_task(made.host.rollback(Gate(), made.told.append))


def with_errors(share: float) -> Callable[[int], Figures]:
    """Once it has lanes, it has answered a hundred, and so many of them with errors; a hundred more at each look."""
    answered = 0

    def figures(lanes: int) -> Figures:
        nonlocal answered
        answered += 100 if lanes else 0
        return Figures(begun=answered, answered=answered, failed=round(answered * share))

    return figures


async def test_the_first_version_serves_at_once() -> None:
    async with world() as made:
        assert await made.up("v1") == "v1 is up and serves."

        assert made.lanes("v1") == LANES
        assert (made.state.active, made.stage("v1")) == ("v1", "serving")


async def test_a_second_waits_beside_it_without_traffic() -> None:
    async with two_up() as made:
        assert (made.lanes("v1"), made.lanes("v2")) == (LANES, 0)
        assert (made.stage("v1"), made.stage("v2")) == ("serving", "ready")
        with pytest.raises(Conflict, match="v2 is up already"):
            await made.up("v3")


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        (FakeVersion(refuses_to_start="the cellar is flooded"), "the cellar is flooded"),
        (FakeVersion(fails_trial="a call is answered 502"), "a call is answered 502"),
    ],
)
async def test_one_that_does_not_work_is_not_let_in_and_the_other_goes_on(fake: FakeVersion, reason: str) -> None:
    async with world() as made:
        await made.up("v1")
        served = list(made.runner.served)

        with pytest.raises(UndercroftError, match=f"v2 was not let in: {reason}. v1 goes on as before"):
            await made.up("v2", fake)

        assert not fake.runs
        assert made.stage("v2") == "failed"
        assert made.runner.served == served
        assert made.runner.versions["v1"].starts == 1


async def test_a_database_that_it_may_not_migrate_keeps_a_version_from_being_started() -> None:
    async with world() as made:
        await made.up("v1")
        made.runner.refuses_to_migrate = "0014 would break what runs now"

        with pytest.raises(UndercroftError, match="0014 would break"):
            await made.up("v2", fake := FakeVersion())

        assert fake.starts == 0


async def test_a_switch_goes_step_by_step_and_never_leaves_a_lane_alone() -> None:
    async with two_up() as made:
        before = len(made.runner.served)

        said = await made.passing(switch(made))

        assert said.startswith("v2 has all traffic")
        assert made.runner.served[before:] == [("v2", 1), ("v1", 19), ("v2", 10), ("v1", 10), ("v2", 20), ("v1", 0)]
        assert (made.state.active, made.state.former, made.state.move) == ("v2", "v1", None)


async def test_the_former_version_ends_when_the_last_of_its_connections_has() -> None:
    async with two_up() as made:
        made.runner.versions["v1"].connections = 3
        await made.passing(switch(made))
        made.clock.advance(1)
        await made.settle()
        assert made.stage("v1") == "draining"

        made.runner.versions["v1"].connections = 0
        made.clock.advance(1)
        await made.settle()

        assert made.stage("v1") == "stopped"
        assert not made.runner.versions["v1"].runs


async def test_connections_that_stay_are_waited_for_no_longer_than_said() -> None:
    async with two_up() as made:
        made.runner.versions["v1"].connections = 3
        await made.passing(switch(made))

        for _ in range(60):
            made.clock.advance(0.1)
            await made.settle()

        assert made.stage("v1") == "stopped"


async def test_a_version_with_errors_loses_the_traffic_again() -> None:
    async with two_up(FakeVersion(figures=with_errors(0.3))) as made:
        with pytest.raises(RolledBack, match=r"v2 was taken back, v1 has all traffic again: .* answers failed"):
            await made.passing(switch(made))
        await made.settle()

        assert (made.lanes("v1"), made.state.active, made.state.move) == (LANES, "v1", None)
        assert max(lanes for name, lanes in made.runner.served if name == "v2") == 1
        assert made.stage("v2") == "failed"
        version = made.state.version("v2")
        assert version is not None
        assert "answers failed" in version.reason


async def test_a_version_that_dies_in_the_switch_loses_the_traffic() -> None:
    async with two_up() as made:
        moving = switch(made)
        await made.settle()
        made.runner.die("v2")

        with pytest.raises(RolledBack):
            await made.passing(moving)

        assert (made.lanes("v1"), made.state.active) == (LANES, "v1")


async def test_when_the_old_version_dies_in_the_switch_the_new_one_gets_everything() -> None:
    async with two_up() as made:
        moving = switch(made)
        await made.settle()
        made.runner.die("v1")

        await made.passing(moving)

        assert (made.lanes("v2"), made.state.active) == (LANES, "v2")


async def test_a_rollback_during_the_switch_takes_the_traffic_back() -> None:
    async with two_up() as made:
        moving = switch(made)
        await made.settle()
        going_back = rollback(made)

        with pytest.raises(RolledBack, match="it was asked for"):
            await made.passing(moving)
        assert await made.passing(going_back) == "v1 has all traffic again; v2 was taken back."
        assert made.lanes("v1") == LANES


async def test_a_rollback_before_the_switch_ends_the_candidate() -> None:
    async with two_up() as made:
        assert await rollback(made) == "v2 is stopped; v1 goes on."

        assert (made.lanes("v1"), made.stage("v2")) == (LANES, "stopped")


async def test_a_rollback_goes_to_the_former_version_while_it_still_runs() -> None:
    async with two_up() as made:
        made.runner.versions["v1"].connections = 3
        await made.passing(switch(made))

        await made.passing(rollback(made))

        assert (made.state.active, made.state.former) == ("v1", "v2")
        assert (made.lanes("v1"), made.stage("v1")) == (LANES, "serving")
        assert made.runner.versions["v1"].starts == 1


async def test_a_rollback_starts_the_former_version_where_it_has_ended() -> None:
    async with two_up() as made:
        await made.passing(switch(made))
        await made.settle()
        assert not made.runner.versions["v1"].runs

        await made.passing(rollback(made))

        assert (made.state.active, made.lanes("v1"), made.runner.versions["v1"].starts) == ("v1", LANES, 2)


async def test_there_may_be_nothing_to_go_back_to() -> None:
    async with world() as made:
        await made.up("v1")

        with pytest.raises(Conflict, match="no version before"):
            await rollback(made)


async def test_versions_beyond_those_kept_are_forgotten() -> None:
    async with world(state=replace(STATE, keep=2)) as made:
        await made.up("v1")
        for name in ("v2", "v3"):
            await made.up(name)
            await made.passing(switch(made))
            await made.settle()

        assert made.runner.forgotten == ["v1"]
        assert [each.name for each in made.state.versions] == ["v2", "v3"]


async def test_an_active_version_that_dies_is_started_again() -> None:
    async with world() as made:
        await made.up("v1")

        made.runner.die("v1")
        await made.settle()

        assert (made.runner.versions["v1"].starts, made.lanes("v1")) == (2, LANES)


async def test_one_that_cannot_be_started_is_tried_again_and_keeps_nobody_from_going_elsewhere() -> None:
    async with two_up() as made:
        made.runner.versions["v1"].refuses_to_start = "the disk is full"
        made.runner.die("v1")
        for _ in range(30):
            made.clock.advance(0.1)
            await made.settle()
        assert made.runner.versions["v1"].starts > 2

        await made.passing(switch(made))

        assert (made.state.active, made.lanes("v2")) == ("v2", LANES)


async def test_a_new_host_adopts_what_runs_and_starts_nothing_twice() -> None:
    async with two_up() as first:
        await first.host.close()
        async with world(first.runner, first.state) as second:
            await second.host.resume(second.told.append)

            assert [fake.starts for fake in second.runner.versions.values()] == [1, 1]
            assert (second.lanes("v1"), second.stage("v2")) == (LANES, "ready")


async def test_a_new_host_goes_on_with_the_switch_at_its_step() -> None:
    async with two_up() as first:
        moving = switch(first)
        await first.settle()
        for _ in range(15):
            first.clock.advance(0.1)
            await first.settle()
        assert first.lanes("v2") == 10
        moving.cancel()
        await first.host.close()

        async with world(first.runner, first.state) as second:
            before = len(second.runner.served)
            await second.host.resume(second.told.append)
            said = await second.passing(asyncio.create_task(second.host.proceed(second.told.append)))

            assert said.startswith("v2 has all traffic")
            assert ("v2", 1) not in second.runner.served[before:]


@pytest.mark.parametrize(("died", "stays"), [("v2", "v1"), ("v1", "v2")])
async def test_a_new_host_ends_a_switch_whose_one_side_has_died(died: str, stays: str) -> None:
    async with two_up() as first:
        moving = switch(first)
        await first.settle()
        moving.cancel()
        await first.host.close()
        first.runner.die(died)

        async with world(first.runner, first.state) as second:
            await second.host.resume(second.told.append)
            assert await second.host.proceed(second.told.append) == ""

            assert (second.state.active, second.lanes(stays)) == (stays, LANES)


async def test_after_a_restart_of_the_machine_the_active_version_is_started_anew() -> None:
    async with world() as first:
        await first.up("v1")
        await first.host.close()
        first.runner.die("v1")

        async with world(first.runner, first.state) as second:
            await second.host.resume(second.told.append)

            assert (second.runner.versions["v1"].starts, second.lanes("v1")) == (2, LANES)


async def test_one_that_was_starting_when_the_host_died_is_ended() -> None:
    async with two_up() as first:
        await first.host.close()
        version = first.state.version("v2")
        assert version is not None
        state = first.state.put(replace(version, stage="starting"))

        async with world(first.runner, state) as second:
            await second.host.resume(second.told.append)

            assert (second.stage("v2"), second.runner.versions["v2"].runs) == ("failed", False)


async def test_down_stops_everything() -> None:
    async with two_up() as made:
        assert await made.host.down(made.told.append) == "v1, v2 stopped."

        assert [fake.runs for fake in made.runner.versions.values()] == [False, False]
