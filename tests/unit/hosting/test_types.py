"""Who serves what, and which versions are kept."""

import pytest
from msgspec.structs import replace

from undercroft.hosting.types import Move, Rollout, State, Version, lanes_at, lanes_for, pruned, shares

STATE = State(host="127.0.0.1", port=8000, lanes=20, directory="/srv")


def versions(*stages: str) -> State:
    state = STATE
    for number, stage in enumerate(stages, start=1):
        state = state.put(Version(name=f"v{number}", python="python", stage=stage))  # type: ignore[arg-type]
    return state


def test_the_active_version_serves_everything() -> None:
    assert shares(replace(STATE, active="v1")) == {"v1": tuple(range(20))}
    assert shares(STATE) == {}


@pytest.mark.parametrize(("step", "lanes"), [(0, 1), (1, 5), (2, 20)])
def test_a_move_splits_the_lanes_and_loses_none(step: int, lanes: int) -> None:
    move = Move(source="v1", target="v2", rollout=Rollout(steps=(5, 25, 100)), step=step)

    shared = shares(replace(STATE, active="v1", move=move))

    assert len(shared["v2"]) == lanes
    assert sorted((*shared["v1"], *shared["v2"])) == list(range(20))


def test_the_smallest_step_has_a_lane_and_all_of_them_only_the_last() -> None:
    assert [lanes_at(percent, 20) for percent in (1, 5, 50, 99, 100)] == [1, 1, 10, 19, 20]


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 20, 64])
def test_each_worker_has_as_many_lanes_as_any_other(workers: int) -> None:
    assert lanes_for(workers) % workers == 0
    assert lanes_for(workers) >= 20


def test_the_oldest_that_run_no_more_are_forgotten_beyond_those_kept() -> None:
    state = replace(versions("stopped", "stopped", "stopped", "draining", "serving"), active="v5", former="v4", keep=3)

    left, surplus = pruned(state)

    assert surplus == ("v1", "v2")
    assert [each.name for each in left.versions] == ["v3", "v4", "v5"]


def test_what_runs_or_may_be_gone_back_to_is_never_forgotten() -> None:
    state = replace(versions("stopped", "serving", "draining", "draining"), active="v2", former="v1", keep=2)

    assert pruned(state)[1] == ()


def test_the_candidate_is_ready_and_has_no_traffic() -> None:
    state = replace(versions("serving", "ready"), active="v1")

    assert state.candidate is not None
    assert state.candidate.name == "v2"
    assert replace(versions("serving", "failed"), active="v1").candidate is None
