"""What a server takes for a request in bursts, also where more come than anybody answers."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.clock import ManualClock
from undercroft.planning.verification.cases import Case
from undercroft.planning.verification.load import Arrival, Outcome
from undercroft.planning.verification.measure import BURST_S, Meter, Unusable
from undercroft.planning.verification.prediction import CpuCost

REQUEST_S = 0.0001
ALONE = CpuCost(40.0, 0.001, 40.0, 0.001)


class Overrun:
    """A generator in front of a server that answers so many requests a second, and refuses all others."""

    def __init__(self, most: float) -> None:
        self.most = most
        self.cpu_s = 0.0
        self.rates: list[float] = []

    async def open_loop(self, arrivals: Sequence[Arrival]) -> Outcome:
        self.rates.append(len(arrivals) / BURST_S)
        answered = min(len(arrivals), int(self.most * BURST_S))
        self.cpu_s += answered * REQUEST_S
        return Outcome([0.001] * answered, [0] * answered, failures=len(arrivals) - answered, elapsed_s=BURST_S)


class Watched(Meter):
    """Sees the CPU that the generator says."""

    def _cpu_s(self) -> float:
        assert isinstance(self._generator, Overrun)
        return self._generator.cpu_s


def in_bursts(generator: Any) -> CpuCost:
    case = Case("gateway", (b"",), is_waiting=True, servers=1, cores=1)
    return asyncio.run(Watched(case, generator, pid=1, clock=ManualClock(), rng=random.Random(1))._in_bursts(ALONE))


def test_the_rate_goes_up_to_what_the_cores_can_do() -> None:
    generator = Overrun(most=20_000)
    cost = in_bursts(generator)
    assert cost.burst_s == pytest.approx(REQUEST_S)
    assert generator.rates[-1] == pytest.approx(1 / REQUEST_S, rel=0.05)


def test_where_more_come_than_are_answered_half_as_many_come_from_then_on() -> None:
    generator = Overrun(most=6_000)
    cost = in_bursts(generator)
    assert cost.burst_s == pytest.approx(REQUEST_S)
    assert max(generator.rates) > generator.most
    assert generator.rates[-1] == pytest.approx(0.5 / REQUEST_S, rel=0.05)


def test_a_server_that_never_answers_is_told() -> None:
    with pytest.raises(Unusable, match="had no answer with status 200"):
        in_bursts(Overrun(most=0))
