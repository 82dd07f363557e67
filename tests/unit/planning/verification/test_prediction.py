"""Predictions from a calibration, against the closed forms they must agree with."""

import random

import pytest

from undercroft.planning.queueing import Queue, lognormal
from undercroft.planning.verification.load import poisson, replayed
from undercroft.planning.verification.prediction import (
    Calibration,
    CpuCost,
    Queues,
    max_rate_of_cores,
    max_rate_of_one_queue,
    one_queue,
    percentiles,
    play,
    play_waiting,
    queues,
)

SERVICES = tuple(lognormal(0.02, 0.5, points=500))
QUIET = Calibration(latencies_s=(SERVICES,), cpu=CpuCost(10, 0.02, 1000, 0.01), memory_mb=100.0)


def test_the_most_of_one_queue_is_servers_over_the_mean_of_the_mix() -> None:
    mixed = Calibration(latencies_s=((0.01, 0.03), (0.1,)), cpu=None, memory_mb=None)

    assert max_rate_of_one_queue(mixed, [0, 1], 3) == pytest.approx(3 / 0.06)


def test_the_most_of_the_cores_is_that_of_bursts() -> None:
    assert max_rate_of_cores(QUIET, 2) == pytest.approx(200)
    with pytest.raises(ValueError, match="CPU time was not measured"):
        max_rate_of_cores(Calibration(latencies_s=((1.0,),), cpu=None, memory_mb=None), 1)


def test_a_played_queue_waits_as_long_as_the_formula_says() -> None:
    arrivals = poisson(30, 2000, [0], random.Random(1))
    played = play(arrivals, QUIET, servers=1, is_shared=True, rng=random.Random(2))
    queue = Queue(rate=len(arrivals) / 2000, service_s=0.02, servers=1, scv=0.5)

    assert sum(played) / len(played) == pytest.approx(0.02 + queue.mean_wait_s, rel=0.03)


def test_random_routing_is_slower_than_one_queue() -> None:
    arrivals = poisson(60, 300, [0], random.Random(1))
    shared, scattered = (
        percentiles(play(arrivals, QUIET, servers=2, is_shared=each, rng=random.Random(2))).p95_ms
        for each in (True, False)
    )

    assert shared < scattered


def test_what_mostly_waits_queues_for_its_cpu_time_only() -> None:
    quiet = Calibration(latencies_s=((0.08,),), cpu=CpuCost(10, 0.001, 1000, 0.001), memory_mb=None)
    arrivals = poisson(500, 200, [0], random.Random(1))
    played = play_waiting(arrivals, quiet, rate=500, queues=one_queue(1), rng=random.Random(2))
    queue = Queue(rate=len(arrivals) / 200, service_s=0.001, servers=1, scv=0.0)

    assert sum(played) / len(played) == pytest.approx(0.08 + queue.mean_wait_s, rel=0.01)


def test_processes_that_share_a_core_are_as_fast_as_it_at_best_and_have_a_share_each_at_worst() -> None:
    quiet = Calibration(latencies_s=((0.0,),), cpu=CpuCost(10, 0.001, 1000, 0.001), memory_mb=None)
    arrivals = poisson(500, 200, [0], random.Random(1))
    rate = len(arrivals) / 200
    best, worst = (
        play_waiting(arrivals, quiet, rate=500, queues=each, rng=random.Random(2))
        for each in (one_queue(1), queues(2, 1))
    )

    alone = Queue(rate=rate, service_s=0.001, servers=1, scv=0.0)
    halved = Queue(rate=rate / 2, service_s=0.002, servers=1, scv=0.0)
    assert sum(best) / len(best) == pytest.approx(alone.mean_wait_s, rel=0.03)
    assert sum(worst) / len(worst) == pytest.approx(halved.mean_wait_s, rel=0.03)
    assert queues(2, 2) == Queues(2, is_shared=False)


def test_cpu_lies_between_alone_and_in_bursts() -> None:
    cost = CpuCost(10, 0.02, 1000, 0.01)

    assert [cost.at(rate) for rate in (1, 10, 1000, 5000)] == [0.02, 0.02, 0.01, 0.01]
    assert cost.at(100) == pytest.approx(0.02 / 2**0.5)
    assert CpuCost(10, 0.02, 10, 0.02).at(500) == 0.02


def test_recorded_arrivals_keep_their_rhythm_at_another_rate() -> None:
    recorded = [0.0, 1.0, 1.0, 1.0, 10.0]
    arrivals = replayed(recorded, 40, 100, [0], random.Random(1))
    gaps = [round(arrivals[place + 1].due_s - arrivals[place].due_s, 6) for place in range(8)]

    assert len(arrivals) == pytest.approx(4000, abs=2)
    assert gaps[:4] == gaps[4:]
    assert sorted(gaps[:4]) == pytest.approx([0, 0, 0.01, 0.09])


def test_poisson_arrivals_come_at_their_rate_and_of_every_kind() -> None:
    arrivals = poisson(100, 100, [0, 1, 2], random.Random(3))

    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    assert {each.kind for each in arrivals} == {0, 1, 2}
    assert all(0 < each.due_s < 100 for each in arrivals)
